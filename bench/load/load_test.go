package load

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCountsWhatTheServerAnswered(t *testing.T) {
	var seen atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if seen.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	for name, rate := range map[string]float64{"closed": 0, "open": 400} {
		seen.Store(0)
		r, err := Run(t.Context(), Plan{URL: srv.URL + "/x", Bearer: "key", Workers: 4, Rate: rate, Duration: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		total := r.Status[200] + r.Status[503]
		if total == 0 || int64(total) != seen.Load() || r.Status[401] != 0 || r.Latency.TotalCount() != int64(total) {
			t.Errorf("%s loop: status %v, histogram %d, the server saw %d", name, r.Status, r.Latency.TotalCount(), seen.Load())
		}
	}
}

func TestRunCountsWrongRepliesAndErrors(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	plan := Plan{URL: srv.URL, Workers: 1, Duration: 20 * time.Millisecond, Check: func([]byte) error { return errors.New("no") }}
	r, err := Run(t.Context(), plan)
	if err != nil || r.Wrong == 0 || r.Wrong != r.Status[200] {
		t.Fatalf("wrong %d of %v, %v", r.Wrong, r, err)
	}
	srv.Close()
	if r, err = Run(t.Context(), plan); err != nil || r.Errors == 0 || len(r.Status) != 0 {
		t.Fatalf("a closed server gave %v, %v", r, err)
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, p := range []Plan{{URL: "http://x", Duration: 1}, {URL: "http://x", Workers: 1}, {URL: "", Workers: 1, Duration: 1}} {
		if _, err := Run(t.Context(), p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}
