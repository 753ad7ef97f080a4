// Package load sends HTTP requests at a server and says how long they took.
//
// A closed loop keeps a number of requests in flight and finds the rate; an open
// loop sends at a constant rate whatever the answers do, and counts a request's
// time from when it was due, so that a server that stalls cannot hide it.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// Plan says what to send and how.
type Plan struct {
	// URL, Method, Body and Bearer make the request. An empty Bearer sends no
	// Authorization header.
	URL, Method, Bearer string
	Body                []byte
	// Workers is the number of requests in flight at most, each on its own
	// connection.
	Workers int
	// Rate is requests per second for an open loop; 0 runs a closed loop.
	Rate float64
	// Duration is how long requests are started. Ones in flight then finish.
	Duration time.Duration
	// Timeout bounds one request; 0 means 30 s.
	Timeout time.Duration
	// Check is called with each 2xx body; an error counts the reply as wrong.
	// It must be safe for concurrent use and not keep the body.
	Check func(body []byte) error
}

// Result is what a run found.
type Result struct {
	// Latency is in microseconds, up to a minute, three significant digits.
	Latency *hdrhistogram.Histogram
	// Status counts replies by status code.
	Status map[int]int
	// Errors counts requests without a reply; Wrong counts 2xx replies that
	// Check refused; Late counts open-loop requests that found every worker busy
	// for more than a second after they were due.
	Errors, Wrong, Late int
	// Elapsed is from the first request's start to the last reply.
	Elapsed time.Duration
}

const maxMicros = int64(time.Minute / time.Microsecond)

type worker struct {
	plan   *Plan
	client *fasthttp.HostClient
	req    *fasthttp.Request
	resp   *fasthttp.Response
	result Result
}

// Run carries out p until its duration passes or ctx ends.
func Run(ctx context.Context, p Plan) (*Result, error) {
	if p.Workers < 1 || p.Duration <= 0 || p.Rate < 0 {
		return nil, errors.New("workers and duration must be positive, rate not negative")
	}
	uri := fasthttp.AcquireURI()
	defer fasthttp.ReleaseURI(uri)
	if err := uri.Parse(nil, []byte(p.URL)); err != nil || len(uri.Host()) == 0 {
		return nil, fmt.Errorf("not a URL: %q", p.URL)
	}
	if p.Timeout == 0 {
		p.Timeout = 30 * time.Second
	}
	client := &fasthttp.HostClient{
		Addr:                      string(uri.Host()),
		IsTLS:                     string(uri.Scheme()) == "https",
		MaxConns:                  p.Workers,
		NoDefaultUserAgentHeader:  true,
		MaxIdemponentCallAttempts: 1,
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, p.Duration)
	defer cancel()
	start := time.Now()
	due := schedule(ctx, p.Rate, start)
	workers := make([]*worker, p.Workers)
	var wg sync.WaitGroup
	for i := range workers {
		workers[i] = newWorker(&p, client)
		wg.Go(func() { workers[i].run(ctx, due) })
	}
	wg.Wait()
	return merge(workers, time.Since(start)), nil
}

// schedule hands out the due times of an open loop; nil means a closed loop.
func schedule(ctx context.Context, rate float64, start time.Time) <-chan time.Time {
	if rate == 0 {
		return nil
	}
	// The buffer holds what falls due while all workers are busy.
	due := make(chan time.Time, int(rate)+1)
	go func() {
		defer close(due)
		for n := 0; ; n++ {
			at := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			if wait := time.Until(at); wait > 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			}
			select {
			case <-ctx.Done():
				return
			case due <- at:
			}
		}
	}()
	return due
}

func newWorker(p *Plan, client *fasthttp.HostClient) *worker {
	w := &worker{plan: p, client: client, req: &fasthttp.Request{}, resp: &fasthttp.Response{}}
	w.result = Result{Latency: hdrhistogram.New(1, maxMicros, 3), Status: map[int]int{}}
	method := p.Method
	if method == "" {
		method = fasthttp.MethodPost
	}
	w.req.SetRequestURI(p.URL)
	w.req.Header.SetMethod(method)
	w.req.Header.SetContentType("application/json")
	if p.Bearer != "" {
		w.req.Header.Set("Authorization", "Bearer "+p.Bearer)
	}
	w.req.SetBodyRaw(p.Body)
	return w
}

func (w *worker) run(ctx context.Context, due <-chan time.Time) {
	for {
		at := time.Now()
		if due != nil {
			var ok bool
			if at, ok = <-due; !ok {
				return
			}
			if time.Since(at) > time.Second {
				w.result.Late++
			}
		} else if ctx.Err() != nil {
			return
		}
		w.once(at)
	}
}

func (w *worker) once(at time.Time) {
	err := w.client.DoTimeout(w.req, w.resp, w.plan.Timeout)
	took := time.Since(at).Microseconds()
	if err != nil {
		w.result.Errors++
		return
	}
	// A value above a minute is clamped: the histogram must not lose the worst.
	_ = w.result.Latency.RecordValue(min(max(took, 1), maxMicros))
	code := w.resp.StatusCode()
	w.result.Status[code]++
	if code/100 == 2 && w.plan.Check != nil && w.plan.Check(w.resp.Body()) != nil {
		w.result.Wrong++
	}
}

func merge(workers []*worker, elapsed time.Duration) *Result {
	r := &Result{Latency: hdrhistogram.New(1, maxMicros, 3), Status: map[int]int{}, Elapsed: elapsed}
	for _, w := range workers {
		r.Latency.Merge(w.result.Latency)
		for code, n := range w.result.Status {
			r.Status[code] += n
		}
		r.Errors += w.result.Errors
		r.Wrong += w.result.Wrong
		r.Late += w.result.Late
	}
	return r
}

// Print writes r for a person to read.
func (r *Result) Print(w io.Writer) {
	n := r.Latency.TotalCount()
	fmt.Fprintf(w, "replies   %d in %.2fs = %.0f/s\n", n, r.Elapsed.Seconds(), float64(n)/r.Elapsed.Seconds())
	fmt.Fprintf(w, "latency   p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n",
		micros(r.Latency.ValueAtQuantile(50)), micros(r.Latency.ValueAtQuantile(90)),
		micros(r.Latency.ValueAtQuantile(99)), micros(r.Latency.ValueAtQuantile(99.9)), micros(r.Latency.Max()))
	fmt.Fprintf(w, "status    %v\n", r.Status)
	fmt.Fprintf(w, "errors    %d without a reply, %d wrong replies, %d started over 1s late\n", r.Errors, r.Wrong, r.Late)
}

func micros(v int64) time.Duration { return time.Duration(v) * time.Microsecond }
