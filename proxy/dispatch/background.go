package dispatch

import (
	"context"
	"sync"
)

// lifetime counts goroutines so that they can be waited for.
type lifetime struct {
	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

// spawn runs f on a goroutine, unless the lifetime has ended.
func (l *lifetime) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.running.Go(f)
	return true
}

// end lets nothing start any more and waits within ctx for what runs.
func (l *lifetime) end(ctx context.Context) error {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		l.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// background does jobs one after the other on a goroutine that exists only while
// there are some.
type background struct {
	life *lifetime

	mu      sync.Mutex
	running bool
	jobs    []func()
}

// add queues a job. It does not wait.
func (b *background) add(job func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs = append(b.jobs, job)
	if !b.running {
		b.running = b.life.spawn(b.run)
	}
}

func (b *background) run() {
	for {
		b.mu.Lock()
		jobs := b.jobs
		b.jobs = nil
		if len(jobs) == 0 {
			b.running = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		for _, job := range jobs {
			job()
		}
	}
}
