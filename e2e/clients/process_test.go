package clients

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running command of the binary.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   lockedBuffer
	ended chan struct{}
	err   error // of the process, once ended is closed

	secrets []string // what the log must not contain
	once    sync.Once
}

// start runs the binary until the test ends, or stop is called.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startProgram(t, binary, args...)
}

// startProgram does so with another build of it.
func startProgram(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{name: "sluice " + args[0], ended: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=halt_on_error=0"}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends the process with SIGTERM and looks at what it said. Once is enough.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.once.Do(func() { p.end(t) })
}

func (p *process) end(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.ended
		t.Errorf("%s did not end within a minute of SIGTERM", p.name)
	}
	if p.err != nil {
		t.Errorf("%s ended with %v", p.name, p.err)
	}
	log := p.log.String()
	for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
		if strings.Contains(log, bad) {
			t.Errorf("the log of %s contains %q", p.name, bad)
		}
	}
	for i, secret := range p.secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the log of %s contains secret %d", p.name, i)
		}
	}
	if t.Failed() {
		t.Logf("the log of %s:\n%s", p.name, log[max(0, len(log)-20_000):])
	}
}

// awaitEnd waits until the process, told to by somebody else, has ended. A second
// SIGTERM would kill it.
func (p *process) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not end", p.name)
	}
}

// awaitReady waits until /readyz of the process's server says so.
func (p *process) awaitReady(t *testing.T, url string) {
	t.Helper()
	p.eventually(t, "is ready", func() error {
		res, err := http.Get(url + "/readyz")
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %d", res.StatusCode)
		}
		return nil
	})
}

// servingLine is where a gateway says which port it has chosen.
var servingLine = regexp.MustCompile(`msg=serving .*address=(\S+)\s`)

// url waits until the gateway says where it serves.
func (p *process) url(t *testing.T) (url string) {
	t.Helper()
	p.eventually(t, "serves", func() error {
		serving := servingLine.FindStringSubmatch(p.log.String())
		if serving == nil {
			return errors.New("it has not said where")
		}
		url = "http://" + serving[1]
		return nil
	})
	return url
}

// eventually waits for what the process does, as long as it runs.
func (p *process) eventually(t *testing.T, does string, f func() error) {
	t.Helper()
	eventually(t, p.name+" "+does, func() error {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s", p.name, p.err, p.log.String())
		default:
		}
		return f()
	})
}

// eventually waits for a condition. The bound is there to end tests that have
// failed, not to measure anything.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lockedBuffer is a bytes.Buffer for a process to write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
