package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/codec"
	"sluice/proxy/dispatch"
)

// memoryBound is how much the heap may grow by while bulkBytes go through, both
// sides of the connection together.
const memoryBound = 48 << 20

// heapWatch notes the largest heap that its look has seen.
type heapWatch struct{ base, most atomic.Uint64 }

func watchHeap() *heapWatch {
	runtime.GC()
	w := new(heapWatch)
	w.base.Store(heapInUse())
	return w
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func (w *heapWatch) look() {
	if now := heapInUse(); now > w.most.Load() {
		w.most.Store(now)
	}
}

func (w *heapWatch) check(t testing.TB, what string) {
	t.Helper()
	grown := int64(w.most.Load()) - int64(w.base.Load())
	t.Logf("%s: the heap grew by %.1f MiB", what, float64(grown)/(1<<20))
	if grown > memoryBound {
		t.Errorf("%s: the heap grew by %d bytes", what, grown)
	}
}

// bulkCore is one value of a core of about a hundred KiB, and the part it is of.
func bulkCore(t testing.TB) (part string, value []byte) {
	t.Helper()
	triple := `{"s":{"type":"i","iri":"http://example.org/subject"},"p":{"type":"i","iri":"http://example.org/p"},"o":{"type":"l","value":"some words"}}`
	part = `{"ids":null,"eos":false,"triples":{"metadata":{"id":"x","root":"","collection":"c"},"triples":[` +
		strings.TrimSuffix(strings.Repeat(triple+",", 1000), ",") + `]}}`
	return part, coreFile(t, part)
}

// repeated is n times the same bytes.
type repeated struct {
	text  []byte
	n, at int
	look  func()
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.at:])
	if r.at += n; r.at == len(r.text) {
		r.at = 0
		r.n--
		if r.n%100 == 0 {
			r.look()
		}
	}
	return n, nil
}

// TestDownloadsInConstantMemory: whatever passes, fast readers and slow ones.
func TestDownloadsInConstantMemory(t *testing.T) {
	corePart, coreValue := bulkCore(t)
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for _, row := range []struct {
		name, path string
		part, last string
		size       int // of what a part becomes
	}{
		{"core", exportPath, corePart, busEnd, len(coreValue)},
		{"document", documentPath, chunkPart(string(chunk), false), chunkPart("", true), len(chunk)},
	} {
		for _, readers := range []int{1, 8} {
			t.Run(fmt.Sprint(row.name, readers), func(t *testing.T) {
				r := newRig(t, Config{})
				r.client.Timeout = 0
				n := bulkBytes / readers / row.size
				part, last := []byte(row.part), []byte(row.last)
				r.bus.download = func(_ dispatch.Key, _ string, _ dispatch.Call, fn func([]byte, bool) error) error {
					for range n {
						if err := fn(part, false); err != nil {
							return err
						}
					}
					return fn(last, true)
				}
				w := watchHeap()
				done := make(chan error, readers)
				for range readers {
					go func() { done <- r.drink(row.path, n*row.size, w.look) }()
				}
				for range readers {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				w.check(t, row.name)
			})
		}
	}
}

// drink reads an answer of that size in sips of 64 KiB, and lets others run in
// between.
func (r *rig) drink(path string, size int, look func()) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+r.addr+path, http.NoBody) //nolint:noctx // it ends when the test does
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sip := make([]byte, 64<<10)
	got := 0
	for i := 0; ; i++ {
		n, err := resp.Body.Read(sip)
		got += n
		if err != nil && got == size {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%d of %d bytes: %w", got, size, err)
		}
		if runtime.Gosched(); i%1000 == 0 {
			look()
		}
	}
}

// TestImportInConstantMemory: the same for what comes in.
func TestImportInConstantMemory(t *testing.T) {
	_, value := bulkCore(t)
	r := newRig(t, Config{})
	r.client.Timeout = 0
	puts := 0
	stub := &countingDispatcher{Dispatcher: r.bus, puts: &puts}
	r.server.dispatcher = stub
	w := watchHeap()
	n := bulkBytes / len(value)
	req, err := http.NewRequest(http.MethodPost, "http://"+r.addr+importPath, &repeated{text: value, n: n, look: w.look}) //nolint:noctx // it ends when the test does
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAnswer(t, resp); got.status != 200 || puts != n {
		t.Errorf("%d %s, %d of %d puts", got.status, got.body, puts, n)
	}
	w.check(t, "import")
}

// countingDispatcher translates and counts puts, and keeps nothing of them.
type countingDispatcher struct {
	Dispatcher
	msg  []byte
	puts *int
}

func (d *countingDispatcher) Call(_ dispatch.Key, req *codec.Request, dst []byte, _ dispatch.Call) ([]byte, codec.Part, error) {
	var err error
	d.msg, err = req.AppendMessage(d.msg[:0])
	*d.puts++
	return append(dst, "{}"...), codec.Part{Final: true}, err
}
