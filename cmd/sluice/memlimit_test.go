package main

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimitIsTheLowestThatApplies(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	meminfo := file("MemTotal:        4096 kB\nMemFree: 1 kB\n")
	for _, row := range []struct {
		name   string
		files  fstest.MapFS
		want   int64
		source string
	}{
		{"nothing known", fstest.MapFS{}, fallbackMemory, "assumed"},
		{"machine", fstest.MapFS{"proc/meminfo": meminfo}, 4 << 20, "machine"},
		{"garbage", fstest.MapFS{"proc/meminfo": file("MemTotal: x kB\n"), "sys/fs/cgroup/memory.max": file("x")}, fallbackMemory, "assumed"},
		{"container, v2", fstest.MapFS{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": file("1048576\n")}, 1 << 20, "cgroup"},
		{"no limit, v2", fstest.MapFS{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": file("max\n")}, 4 << 20, "machine"},
		{"nested, v2", fstest.MapFS{
			"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/a/b.scope\n"),
			"sys/fs/cgroup/a/memory.max": file("2097152\n"), "sys/fs/cgroup/a/b.scope/memory.max": file("max\n"),
		}, 2 << 20, "cgroup"},
		{"nested, v1", fstest.MapFS{
			"proc/meminfo": meminfo, "proc/self/cgroup": file("5:cpu:/x\n4:memory:/docker/c\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":          file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/docker/c/memory.limit_in_bytes": file("3145728\n"),
		}, 3 << 20, "cgroup"},
		{"above the machine", fstest.MapFS{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": file("1099511627776\n")}, 4 << 20, "machine"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, source := memoryLimit(row.files); got != row.want || source != row.source {
				t.Errorf("got %d from %s, want %d from %s", got, source, row.want, row.source)
			}
		})
	}
}
