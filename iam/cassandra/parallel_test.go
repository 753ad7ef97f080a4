package cassandra

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"sluice/iam"
)

// TestParallel fails, or is told to end, when as many as may be are under way:
// they end in peace, and nothing else begins.
func TestParallel(t *testing.T) {
	for name, c := range map[string]struct {
		fails, cancels bool
		wanted         error
	}{
		"all done": {false, false, nil},
		"failed":   {true, false, iam.ErrExists},
		"ended":    {false, true, errDied},
		"both":     {true, true, iam.ErrExists},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var begun atomic.Int64
		full, proceed := make(chan struct{}), make(chan struct{})
		go func() {
			<-full
			if c.cancels {
				cancel(errDied)
			}
			close(proceed)
		}()
		err := parallel(ctx, make([]int, 100), func(own context.Context, _ int) error {
			if begun.Add(1) == maxParallel {
				close(full)
			}
			<-proceed
			if own != ctx {
				t.Error("who fails could end the others")
			}
			if c.fails {
				return iam.ErrExists
			}
			return nil
		})
		cancel(nil)
		if !errors.Is(err, c.wanted) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if stops := c.fails || c.cancels; stops != (begun.Load() < 100) {
			t.Errorf("%s: %d begun", name, begun.Load())
		}
	}
}
