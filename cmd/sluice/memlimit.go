package main

import (
	"bufio"
	"io/fs"
	"math"
	"runtime/debug"
	"strconv"
	"strings"
)

// fallbackMemory is assumed where the system says nothing about its memory.
const fallbackMemory = 1 << 30

// memoryLimit is how much memory this process may use, in bytes, and where that
// comes from: GOMEMLIMIT, the cgroup, or the machine's memory. root is the file
// system, os.DirFS("/") or a test's.
func memoryLimit(root fs.FS) (limit int64, source string) {
	limit, source = fallbackMemory, "assumed"
	if n, ok := machineMemory(root); ok {
		limit, source = n, "machine"
	}
	if n, ok := cgroupLimit(root); ok && n < limit {
		limit, source = n, "cgroup"
	}
	// A negative value only asks. MaxInt64 means that no limit is set.
	if n := debug.SetMemoryLimit(-1); n != math.MaxInt64 {
		limit, source = n, "GOMEMLIMIT"
	}
	return limit, source
}

// machineMemory reads MemTotal.
func machineMemory(root fs.FS) (int64, bool) {
	f, err := root.Open("proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "MemTotal:" {
			n, err := strconv.ParseInt(fields[1], 10, 54)
			return n << 10, err == nil && n > 0
		}
	}
	return 0, false
}

// cgroupLimit is the lowest limit of the process's cgroup and those around it,
// in either version of cgroups. Inside a container the group's own files are
// usually mounted at the top.
func cgroupLimit(root fs.FS) (int64, bool) {
	lowest, found := int64(math.MaxInt64), false
	for _, dir := range cgroupDirs(root) {
		for _, file := range []string{dir + "/memory.max", dir + "/memory.limit_in_bytes"} {
			text, err := fs.ReadFile(root, file)
			if err != nil {
				continue
			}
			// "max" and, in version 1, a number near 2^63 mean no limit.
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && n > 0 && n < math.MaxInt64>>1 {
				lowest, found = min(lowest, n), true
			}
		}
	}
	return lowest, found
}

// cgroupDirs lists the directories whose limits apply, innermost first.
func cgroupDirs(root fs.FS) []string {
	dirs := []string{"sys/fs/cgroup", "sys/fs/cgroup/memory"}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return dirs
	}
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path, with no controllers in version 2
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var base string
		switch {
		case fields[1] == "":
			base = dirs[0]
		case strings.Contains(","+fields[1]+",", ",memory,"):
			base = dirs[1]
		default:
			continue
		}
		for path := strings.Trim(fields[2], "/"); path != ""; {
			dirs = append(dirs, base+"/"+path)
			cut := max(strings.LastIndexByte(path, '/'), 0)
			path = path[:cut]
		}
	}
	return dirs
}
