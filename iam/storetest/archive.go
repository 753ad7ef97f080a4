package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/iam"
)

func testArchive(t *testing.T, from, to iam.Store) {
	source, isSource := from.(iam.Archive)
	target, isTarget := to.(iam.Archive)
	if !isSource || !isTarget {
		t.Fatal("the store is no iam.Archive")
	}
	fill(t, from)
	text := export(t, source)
	if n, err := iam.ImportLines(ctx(), target, strings.NewReader(text)); err != nil || n != strings.Count(text, "\n") {
		t.Fatalf("imported %d records: %v", n, err)
	}
	if got := export(t, target); sorted(got) != sorted(text) {
		t.Errorf("exported again:\n%s\nwant:\n%s", got, text)
	}
	compare(t, from, to)
	_, err := iam.ImportLines(ctx(), target, strings.NewReader(text))
	want(t, err, iam.ErrExists)
	lastAreWorkspaces(t, text)
}

func fill(t *testing.T, s iam.Store) {
	t.Helper()
	seed(t, s)
	ok(t, s.CreateUser(ctx(), iam.User{ID: "bare", Workspace: "acme", Username: "bare <&> \u2028"}))
	ok(t, s.CreateAPIKey(ctx(), iam.APIKey{Hash: "h", ID: "i", UserID: "bob", Expires: start.Add(time.Hour), LastUsed: start}))
	ok(t, s.DisableUser(ctx(), "ann"))
	ok(t, s.RotateSigningKey(ctx(), signing("s1", start.Add(time.Second))))
}

func export(t *testing.T, s iam.Archive) string {
	t.Helper()
	var out bytes.Buffer
	n, err := iam.ExportLines(ctx(), s, &out)
	ok(t, err)
	if lines := strings.Count(out.String(), "\n"); lines != n {
		t.Errorf("%d lines for %d records", lines, n)
	}
	return out.String()
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// compare looks the records up in both stores.
func compare(t *testing.T, from, to iam.Store) {
	t.Helper()
	view := func(s iam.Store) string {
		users, err := s.Users(ctx(), "acme")
		ok(t, err)
		keys, err := s.APIKeys(ctx(), "bob")
		ok(t, err)
		signingKeys, err := s.SigningKeys(ctx())
		ok(t, err)
		workspaces, err := s.Workspaces(ctx())
		ok(t, err)
		id, err := s.UserID(ctx(), "acme", "ann")
		ok(t, err)
		key, err := s.APIKeyByID(ctx(), "k0")
		ok(t, err)
		return fmt.Sprintf("%+v\n%+v\n%+v\n%+v\n%v\n%+v", users, keys, signingKeys, workspaces, id, key)
	}
	same(t, view(to), view(from))
}

func lastAreWorkspaces(t *testing.T, text string) {
	t.Helper()
	begun := false
	for line := range strings.Lines(text) {
		is := strings.Contains(line, `"type":"workspace"`)
		if begun && !is {
			t.Errorf("a record after the workspaces: %s", line)
		}
		begun = begun || is
	}
}
