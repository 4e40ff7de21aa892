package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unmapProgram lets go of the pages of the program's own file. A program of
// this size touches most of them once, in the initialization of its packages,
// and few again; those that are needed are mapped again when they are. Only
// mappings that nobody wrote to are let go: the file has what they hold.
func unmapProgram() {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(maps, exe) {
		_ = unix.Madvise(unsafe.Slice((*byte)(m.start), m.size), unix.MADV_DONTNEED) // at worst nothing is given back
	}
}

type mapping struct {
	start unsafe.Pointer
	size  int
}

// cleanMappings are those of the file exe that cannot be written to and of
// which no page was changed (proc(5), /proc/pid/smaps).
func cleanMappings(smaps []byte, exe string) []mapping {
	var (
		out []mapping
		at  mapping
	)
	for line := range bytes.Lines(smaps) {
		f := strings.Fields(string(line))
		switch {
		case len(f) >= 5 && strings.Contains(f[0], "-") && !strings.HasSuffix(f[0], ":"):
			at = mapping{}
			if len(f) >= 6 && f[5] == exe && !strings.Contains(f[1], "w") {
				at = mappingOf(f[0])
			}
		case len(f) >= 2 && f[0] == "Anonymous:" && f[1] == "0" && at.size > 0:
			out = append(out, at)
		}
	}
	return out
}

// mappingOf reads "start-end" in hexadecimal.
func mappingOf(span string) mapping {
	from, to, _ := strings.Cut(span, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	if err != nil || err2 != nil || end <= start {
		return mapping{}
	}
	address := uintptr(start)
	return mapping{*(*unsafe.Pointer)(unsafe.Pointer(&address)), int(end - start)}
}
