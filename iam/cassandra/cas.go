package cassandra

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

const (
	// casPatience is how long an outcome is sought that a node did not tell, and
	// thrice as long as one may take to tidy up.
	casPatience = 15 * time.Second
	casPause    = 5 * time.Millisecond
	maxCASPause = time.Second
)

// cas runs a conditional statement until its outcome is known: whether it was
// applied. It is doubtful when an earlier attempt, whose reply was lost, may have
// been applied and be the reason why this one was not. An error leaves the
// outcome open, unless the statement was refused.
func (s *Store) cas(ctx context.Context, text string, args ...any) (applied, doubtful bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.seeking)
	defer cancel()
	for pause := casPause; ; pause = min(2*pause, maxCASPause) {
		applied, err = s.attempt(ctx, text, args...)
		switch {
		case err == nil:
			return applied, doubtful, nil
		case !errors.Is(err, ErrUnavailable):
			return false, doubtful, err
		case !doubtful && notBegun(err):
			return false, false, err
		}
		doubtful = true
		// Others who contend for the row must not come back at the same moment.
		if sleep(ctx, pause/2+rand.N(pause)) != nil || s.life.Err() != nil {
			return false, true, err
		}
	}
}

// won runs a conditional statement. Where it is doubtful, ours says whether the
// row is as the statement would have left it.
func (s *Store) won(ctx context.Context, ours func() (bool, error), text string, args ...any) (bool, error) {
	applied, doubtful, err := s.cas(ctx, text, args...)
	if err != nil || applied || !doubtful {
		return applied, err
	}
	return ours()
}

// patiently repeats a serial read: like a write it takes part in the contest for
// the row, and may lose it.
func patiently[T any](ctx context.Context, s *Store, read func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.seeking)
	defer cancel()
	for pause := casPause; ; pause = min(2*pause, maxCASPause) {
		v, err := read(ctx)
		if !errors.Is(err, ErrUnavailable) || notBegun(err) {
			return v, err
		}
		if sleep(ctx, pause/2+rand.N(pause)) != nil || s.life.Err() != nil {
			return v, err
		}
	}
}

// attempt sends a conditional statement once. The outcome is committed where a
// quorum of readers sees it.
func (s *Store) attempt(ctx context.Context, text string, args ...any) (applied bool, err error) {
	query, err := s.statement(text, args...)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	if s.meddle != nil {
		return s.meddle(ctx, query)
	}
	return once(ctx, query)
}

// once reads only the first column, [applied]: the others depend on the outcome.
func once(ctx context.Context, query *gocql.Query) (applied bool, err error) {
	row := query.NoSkipMetadata().IterContext(ctx)
	columns := make([]any, len(row.Columns()))
	if len(columns) > 0 {
		columns[0] = &applied
	}
	row.Scan(columns...)
	return applied, failure(row.Close())
}

// detached is for tidying up after an operation whose caller may have gone.
func (s *Store) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.seeking/3)
}
