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

// rooms is the package map of ARCHITECTURE.md: what each room may import of
// this module. A trailing "/..." covers sub-packages. Tests may import anything
// below them and the conformance suite.
var rooms = map[string][]string{
	"sluice/pool":         {},
	"sluice/bus":          {"sluice/pool"},
	"sluice/bus/bustest":  {"sluice/bus", "sluice/pool"},
	"sluice/bus/amqp":     {"sluice/bus", "sluice/pool"},
	"sluice/bus/amqp/...": {"sluice/bus", "sluice/pool"},

	"sluice/bus/amqp/brokertest":    {"sluice/scripts/held"},
	"sluice/iam/cassandra/nodetest": {"sluice/scripts/held"},
	"sluice/scripts/held":           {},

	"sluice/bus/memory":     {"sluice/bus", "sluice/pool"},
	"sluice/codec":          {"sluice/pool"},
	"sluice/iam":            {"sluice/bus", "sluice/codec"},
	"sluice/iam/...":        {"sluice/iam", "sluice/codec"},
	"sluice/proxy/auth":     {"sluice/codec"},
	"sluice/proxy/core":     {"sluice/codec"},
	"sluice/proxy/dispatch": {"sluice/bus", "sluice/codec", "sluice/pool"},
	"sluice/proxy/flows":    {"sluice/bus", "sluice/codec"},
	"sluice/proxy":          {"sluice/proxy/...", "sluice/codec", "sluice/pool"},
	"sluice/e2e":            {"sluice/..."},
	"sluice/e2e/...":        {"sluice/..."},
	"sluice/bench/...":      {"sluice/..."},
	"sluice/bench":          {"sluice/..."},
	"sluice/cmd/tg":         {}, // speaks HTTP to a gateway and nothing else
	"sluice/cmd/...":        {"sluice/..."},
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

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, wide := strings.CutSuffix(p, "...")
		return p == path || wide && strings.HasPrefix(path, prefix)
	})
}

func allowed(path string) ([]string, bool) {
	if list, ok := rooms[path]; ok {
		return list, true
	}
	for room, list := range rooms {
		if matches([]string{room}, path) {
			return list, true
		}
	}
	return nil, false
}

func TestImportsFollowThePackageMap(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath == "sluice" {
			continue
		}
		list, ok := allowed(p.ImportPath)
		if !ok {
			t.Errorf("%s is in no room of the package map", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "sluice/") && !matches(list, imp) {
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
