package sluice_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// room is a row of the package map in ARCHITECTURE.md.
type room struct {
	packages []string // "sluice/bench/..." for a room with rooms of its own
	imports  []string // what they may import of this module
	used     map[string]bool
}

// packageMap reads the table: packages, their job, what they import of ours.
func packageMap(t *testing.T) []*room {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`([a-z0-9/*]+)`")
	names := func(cell string) (all []string) {
		for _, m := range name.FindAllStringSubmatch(cell, -1) {
			all = append(all, "sluice/"+strings.Replace(m[1], "/*", "/...", 1))
		}
		return all
	}
	var rooms []*room
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || len(names(cells[1])) == 0 {
			continue
		}
		r := &room{packages: names(cells[1]), imports: names(cells[3]), used: make(map[string]bool)}
		switch imports := strings.TrimSpace(cells[3]); {
		case imports == "all":
			r.imports = []string{"sluice/..."}
		case imports != "–" && len(r.imports) == 0:
			t.Errorf("the imports of %v: %s", r.packages, imports)
		}
		rooms = append(rooms, r)
	}
	return rooms
}

// owners says which rooms may import a library that the house keeps in one
// place. bench measures the libraries themselves, so it may import all of them.
var owners = map[string][]string{
	"github.com/rabbitmq/amqp091-go": {"sluice/bus/amqp"},
	"github.com/valyala/fasthttp":    {"sluice/proxy"},
	"github.com/fasthttp/websocket":  {"sluice/proxy"},
	"github.com/bytedance/sonic":     {"sluice/codec"},
	"github.com/tinylib/msgp":        {"sluice/proxy/core"},
	"go.etcd.io/bbolt":               {"sluice/iam/bolt"},
	"golang.org/x/term":              {"sluice/cmd/tg"},

	"github.com/apache/cassandra-gocql-driver/v2": {"sluice/iam/cassandra"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	Dir        string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,Dir", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []goPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func matches(pattern, path string) bool {
	prefix, wide := strings.CutSuffix(pattern, "...")
	return pattern == path || wide && strings.HasPrefix(path, prefix)
}

// roomOf prefers the row that names the package to one that covers it.
func roomOf(rooms []*room, path string) *room {
	var found *room
	for _, r := range rooms {
		if slices.Contains(r.packages, path) {
			return r
		}
		if slices.ContainsFunc(r.packages, func(p string) bool { return matches(p, path) }) {
			found = r
		}
	}
	return found
}

// TestImportsFollowThePackageMap holds code and ARCHITECTURE.md to each other.
// Tests may import anything below their package and the conformance suite.
func TestImportsFollowThePackageMap(t *testing.T) {
	rooms := packageMap(t)
	packages := make(map[string]bool)
	for _, p := range listPackages(t) {
		packages[p.ImportPath] = true
		if p.ImportPath == "sluice" {
			continue
		}
		r := roomOf(rooms, p.ImportPath)
		if r == nil {
			t.Errorf("%s is in no room of the package map", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if i := slices.IndexFunc(r.imports, func(pattern string) bool { return matches(pattern, imp) }); i >= 0 {
				r.used[r.imports[i]] = true
			} else if strings.HasPrefix(imp, "sluice/") {
				t.Errorf("%s must not import %s", p.ImportPath, imp)
			}
			for lib, in := range owners {
				foreign := imp == lib || strings.HasPrefix(imp, lib+"/")
				if foreign && !slices.Contains(in, p.ImportPath) && !strings.HasPrefix(p.ImportPath, "sluice/bench") {
					t.Errorf("%s must not import %s: only %v may", p.ImportPath, imp, in)
				}
			}
		}
	}
	for _, r := range rooms {
		for _, p := range r.packages {
			if !strings.HasSuffix(p, "...") && !packages[p] {
				t.Errorf("the package map has a room %s, and there is none", p)
			}
		}
		for _, imp := range r.imports {
			if imp != "sluice/..." && !r.used[imp] {
				t.Errorf("%v do not import %s", r.packages, imp)
			}
		}
	}
}

// The codec moves bytes: a generic map or encoding/json in it would lose key
// order, big integers and the difference between 5 and 5.0.
func TestCodecStaysAwayFromGenericJSON(t *testing.T) {
	generic := regexp.MustCompile(`map\[string\](any|interface\{\})|"encoding/json"`)
	for _, p := range listPackages(t) {
		if p.ImportPath != "sluice/codec" {
			continue
		}
		for _, f := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(bytes.NewReader(src))
			for n := 1; lines.Scan(); n++ {
				if generic.MatchString(lines.Text()) {
					t.Errorf("codec/%s:%d: %s", f, n, lines.Text())
				}
			}
		}
	}
}

// Nothing that only this machine knows may be committed.
func TestNoMachinePathsAreTracked(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	needle := []byte(filepath.Dir(here) + "/")
	if len(needle) < 4 {
		return // a checkout right below the root has no path to leak
	}
	for f := range strings.Lines(string(out)) {
		f = strings.TrimSpace(f)
		src, err := os.ReadFile(f)
		if err != nil {
			continue // deleted in the working tree
		}
		if bytes.Contains(src, needle) {
			t.Errorf("%s names a path of this machine", f)
		}
	}
}
