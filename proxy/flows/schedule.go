package flows

import (
	"math/rand/v2"
	"time"
)

const (
	// defaultWorkspace is fetched whether or not it is listed.
	defaultWorkspace = "default"
	// resyncGap is the least time between two full fetches: writes to reserved
	// workspaces look like "anything may have changed", too.
	resyncGap = 5 * time.Second
	// resyncPeriod is how long a change that nobody announced goes unnoticed.
	resyncPeriod = 5 * time.Minute
	// fetchGap is the least time between two fetches of a workspace: a burst of
	// notifications makes two fetches, not a hundred.
	fetchGap = 100 * time.Millisecond
	// retryMin and retryMax bound the pause after a failure.
	retryMin = 500 * time.Millisecond
	retryMax = 30 * time.Second
)

// Reasons for a full fetch.
const (
	becauseStart     = "start"
	becauseAnything  = "unspecified-change"
	becauseVersion   = "version-decreased"
	becauseReconnect = "reconnect"
	becausePeriod    = "periodic"
)

// job is one thing to do: fetch the list of workspaces (ws is nil), or bring one
// workspace up to date.
type job struct {
	ws *workspace
	// gone: nothing is left of the workspace, there is no need to ask.
	gone bool
	// refresh: tell the table to look at the exchanges again.
	refresh bool
	// epoch and floor are the schedule's at the start: within one epoch a reply
	// cannot be older than what was known when it was asked for.
	epoch int
	floor int64
}

// outcome is how a job ended.
type outcome struct {
	job
	version int64
	// listed are the workspaces that a list named.
	listed map[string]struct{}
	// empty: the workspace has no flows.
	empty bool
	err   error
}

// schedule decides what is fetched when. It does no I/O, knows the time only
// from its callers, and belongs to one goroutine.
type schedule struct {
	workspaces map[string]*workspace
	// due holds the idle workspaces that wait for a job.
	due map[*workspace]struct{}

	// listAt is when the list may be fetched, if it is due.
	listDue, listBusy bool
	listAt            time.Time
	listFailures      int
	// listStarted is the last attempt, listWorked the start of the last that
	// went well.
	listStarted, listWorked time.Time
	periodAt                time.Time

	// seen is the highest version of this epoch. An epoch ends when the store
	// turns out to have begun anew.
	epoch int
	seen  int64

	// untried counts the workspaces whose first job has not ended.
	untried   int
	hasListed bool
}

func newSchedule(now time.Time) *schedule {
	s := &schedule{workspaces: make(map[string]*workspace), due: make(map[*workspace]struct{}), seen: -1}
	s.resync(becauseStart, now)
	s.periodAt = now.Add(jitter(resyncPeriod))
	return s
}

// complete reports whether every workspace has been tried once.
func (s *schedule) complete() bool { return s.hasListed && s.untried == 0 }

// resync asks for a full fetch. Requests that come close together become one.
func (s *schedule) resync(reason string, now time.Time) {
	resyncs.WithLabelValues(reason).Inc()
	s.listDue = true
	s.listAt = latest(now, s.listWorked.Add(resyncGap), s.listStarted.Add(retryMin))
}

// notice acts on notifications.
func (s *schedule) notice(n notices, now time.Time) {
	if n.reset {
		s.beginEpoch(n.last)
		s.resync(becauseVersion, now)
	}
	s.seen = max(s.seen, n.last)
	if n.missed {
		s.resync(becauseReconnect, now)
	}
	if n.anything {
		s.resync(becauseAnything, now)
	}
	for name := range n.workspaces {
		ws := s.workspace(name)
		// Versions are no reason to skip this: the store counts up first and
		// writes then, so a reply of that very version may lack the change.
		ws.refresh, ws.gone = true, false
		s.want(ws, now)
	}
}

func (s *schedule) beginEpoch(version int64) {
	s.epoch++
	s.seen = version
}

// workspace finds or adds a workspace.
func (s *schedule) workspace(name string) *workspace {
	ws := s.workspaces[name]
	if ws == nil {
		ws = &workspace{name: name, version: -1}
		s.workspaces[name] = ws
		s.untried++
	}
	return ws
}

// want makes a job of the workspace due at the given time, or earlier if it was
// due earlier already.
func (s *schedule) want(ws *workspace, at time.Time) {
	if ws.busy {
		ws.again = true
		return
	}
	at = latest(at, ws.started.Add(fetchGap))
	if _, ok := s.due[ws]; ok {
		at = earliest(at, ws.at)
	}
	ws.at = at
	s.due[ws] = struct{}{}
}

// next takes a job that may start now.
func (s *schedule) next(now time.Time) (job, bool) {
	if !now.Before(s.periodAt) {
		s.periodAt = now.Add(jitter(resyncPeriod))
		s.resync(becausePeriod, now)
	}
	j := job{epoch: s.epoch, floor: s.seen}
	if s.listDue && !s.listBusy && !now.Before(s.listAt) {
		s.listDue, s.listBusy, s.listStarted = false, true, now
		return j, true
	}
	for ws := range s.due {
		if now.Before(ws.at) {
			continue
		}
		delete(s.due, ws)
		ws.busy, ws.started = true, now
		j.ws, j.gone, j.refresh = ws, ws.gone, ws.refresh
		ws.gone, ws.refresh = false, false
		return j, true
	}
	return job{}, false
}

// deadline is when next may have something to offer if nothing happens.
func (s *schedule) deadline() time.Time {
	at := s.periodAt
	if s.listDue && !s.listBusy {
		at = earliest(at, s.listAt)
	}
	for ws := range s.due {
		at = earliest(at, ws.at)
	}
	return at
}

// finish takes in the outcome of a job.
func (s *schedule) finish(o outcome, now time.Time) {
	if o.ws == nil {
		s.finishList(o, now)
		return
	}
	ws := o.ws
	ws.busy = false
	if !ws.tried {
		ws.tried = true
		s.untried--
	}
	again := ws.again
	ws.again = false
	if o.err != nil {
		s.failed(ws, o, now)
		return
	}
	if ws.failures > 0 {
		staleDefinitions.Dec()
	}
	ws.failures, ws.version = 0, o.version
	switch {
	case o.epoch != s.epoch:
		again = true // asked of a store that has begun anew since
	case o.version < o.floor:
		s.beginEpoch(o.version)
		s.resync(becauseVersion, now)
	default:
		s.seen = max(s.seen, o.version)
	}
	switch {
	case again:
		s.want(ws, now)
	case o.empty && !ws.listed && ws.name != defaultWorkspace:
		delete(s.workspaces, ws.name)
	}
}

func (s *schedule) failed(ws *workspace, o outcome, now time.Time) {
	if ws.failures == 0 {
		staleDefinitions.Inc()
	}
	ws.refresh = ws.refresh || o.refresh
	s.want(ws, now.Add(backoff(ws.failures)))
	ws.failures++
}

func (s *schedule) finishList(o outcome, now time.Time) {
	s.listBusy = false
	if o.err != nil {
		s.listDue = true
		s.listAt = now.Add(backoff(s.listFailures))
		s.listFailures++
		return
	}
	s.listFailures, s.listWorked, s.hasListed = 0, s.listStarted, true
	if s.listDue {
		s.listAt = latest(s.listAt, s.listWorked.Add(resyncGap))
	}
	if o.epoch == s.epoch && o.version < o.floor {
		s.beginEpoch(o.version)
	}
	if o.epoch == s.epoch {
		s.seen = max(s.seen, o.version)
	}
	s.workspace(defaultWorkspace)
	for name := range o.listed {
		s.workspace(name)
	}
	for _, ws := range s.workspaces {
		_, ws.listed = o.listed[ws.name]
		ws.gone = ws.name != defaultWorkspace && !ws.listed && s.listKnows(o, ws)
		s.want(ws, now)
	}
}

// listKnows reports whether the list is as new as anything heard of the
// workspace. Then its silence means that the workspace has no flows, else it must
// be asked about.
func (s *schedule) listKnows(list outcome, ws *workspace) bool {
	return list.epoch == s.epoch && ws.version >= 0 && ws.version <= list.version && !ws.busy && !ws.refresh
}

// backoff is the pause after a failure that came after n others: twice as long
// each time, half of it chance.
func backoff(n int) time.Duration {
	d := retryMax
	if n < 6 {
		d = min(d, retryMin<<n)
	}
	return d/2 + rand.N(d/2+1)
}

// jitter is d, give or take a tenth.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(first time.Time, rest ...time.Time) time.Time {
	for _, t := range rest {
		if t.After(first) {
			first = t
		}
	}
	return first
}
