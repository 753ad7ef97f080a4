package bolt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/iam"
)

// fillStore adds two workspaces, a signing key, and n users with a key each, the
// first of which is an administrator.
func fillStore(t testing.TB, s iam.Store, n int) {
	t.Helper()
	ctx := context.Background()
	now := time.Date(2026, 11, 21, 17, 42, 33, 0, time.UTC)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Seed(ctx, iam.Seed{
		Workspace:  iam.Workspace{ID: "default", Enabled: true, Created: now},
		Admin:      iam.User{ID: "u0", Workspace: "default", Username: "admin", Roles: []string{iam.RoleAdmin}, Enabled: true},
		Key:        iam.APIKey{Hash: "h0", ID: "k0", UserID: "u0"},
		SigningKey: iam.SigningKey{KID: "s", PrivatePEM: strings.Repeat("p", 119), Created: now},
	}))
	must(s.CreateWorkspace(ctx, iam.Workspace{ID: "acme", Enabled: true}))
	var wg sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Go(func() {
			id := fmt.Sprint(i)
			if err := s.CreateUser(ctx, iam.User{ID: "u" + id, Workspace: "acme", Username: id, Enabled: true, PasswordHash: strings.Repeat("h", 90)}); err != nil {
				t.Error(err)
			}
			if err := s.CreateAPIKey(ctx, iam.APIKey{Hash: "h" + id, ID: "k" + id, UserID: "u" + id, Created: now}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

const (
	crashWriters = 10
	crashRounds  = 100
)

// TestKilledProcessLosesNothing kills a process at some point of 1,000 mixed
// writes, again and again, and looks for every write that it had reported.
func TestKilledProcessLosesNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, killAt := range []int{1, 137, 500, 731, 999} {
		path := filepath.Join(t.TempDir(), "iam.db")
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "SLUICE_TEST_WRITE_TO="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := readReports(t, out, killAt, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if len(done) < killAt {
			t.Fatalf("only %d of %d writes were reported", len(done), killAt)
		}
		checkReports(t, path, done)
	}
}

// readReports collects the names of acknowledged writes. What the process wrote
// to the pipe before it was killed is still there afterwards.
func readReports(t *testing.T, out interface{ Read([]byte) (int, error) }, killAt int, kill func()) map[string]bool {
	t.Helper()
	done := map[string]bool{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		done[lines.Text()] = true
		if len(done) == killAt {
			kill()
		}
	}
	kill()
	return done
}

// writeUntilKilled is the process that gets killed. Each writer goes through the
// life of users of its own, and reports each step once the store has it.
func writeUntilKilled(path string) int {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	var report sync.Mutex
	var wg sync.WaitGroup
	for writer := range crashWriters {
		wg.Go(func() {
			for round := range crashRounds {
				name, err := crashWrite(ctx, s, writer, round)
				if err != nil {
					fmt.Fprintln(os.Stderr, name, err)
					os.Exit(1)
				}
				report.Lock()
				fmt.Println(name)
				report.Unlock()
			}
		})
	}
	wg.Wait()
	time.Sleep(time.Minute) // for the last kill
	return 0
}

// crashWrite is one step of one writer: of every five, a workspace, a user in
// it, a key, a change, and a deletion.
func crashWrite(ctx context.Context, s iam.Store, writer, round int) (string, error) {
	id := fmt.Sprintf("%d-%d", writer, round/5)
	switch round % 5 {
	case 0:
		return "workspace " + id, s.CreateWorkspace(ctx, iam.Workspace{ID: id, Enabled: true})
	case 1:
		return "user " + id, s.CreateUser(ctx, iam.User{ID: id, Workspace: id, Username: "name", Enabled: true})
	case 2:
		return "key " + id, s.CreateAPIKey(ctx, iam.APIKey{Hash: id, ID: id, UserID: id})
	case 3:
		_, err := s.UpdateUser(ctx, id, iam.UserChange{Name: new("changed"), Roles: []string{"writer"}})
		return "change " + id, err
	}
	if writer%2 == 0 {
		return "delete " + id, s.DeleteUser(ctx, id)
	}
	return "disable " + id, s.DisableUser(ctx, id)
}

func checkReports(t *testing.T, path string, done map[string]bool) {
	t.Helper()
	s, err := Open(path, Options{MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	for name := range done {
		what, id, _ := strings.Cut(name, " ")
		u, userErr := s.User(ctx, id)
		_, keyErr := s.APIKey(ctx, id)
		_, nameErr := s.UserID(ctx, id, "name")
		// A later step may be in the file without having been reported.
		gone := userErr != nil && keyErr != nil && nameErr != nil
		deletable := strings.HasPrefix(id, "0") || (id[0]-'0')%2 == 0
		ended := deletable && gone || !deletable && userErr == nil && !u.Enabled && keyErr != nil
		var fine bool
		switch what {
		case "workspace":
			w, err := s.Workspace(ctx, id)
			fine = err == nil && w.Enabled
		case "user":
			fine = userErr == nil && nameErr == nil || ended
		case "key":
			fine = userErr == nil && keyErr == nil || ended
		case "change":
			fine = userErr == nil && u.Name == "changed" || ended
		default:
			fine = ended
		}
		if !fine {
			t.Errorf("of %d reported writes, %q is lost: %+v, %v, %v, %v", len(done), name, u, userErr, keyErr, nameErr)
		}
	}
}
