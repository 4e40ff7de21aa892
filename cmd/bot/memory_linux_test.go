package main

import (
	"os"
	"testing"
)

const smaps = `00400000-00600000 r-xp 00000000 fe:00 42                    /usr/bin/bot
Rss:                2048 kB
Anonymous:             0 kB
00600000-00700000 r--p 00200000 fe:00 42                    /usr/bin/bot
Rss:                1024 kB
Anonymous:             4 kB
00700000-00800000 rw-p 00300000 fe:00 42                    /usr/bin/bot
Anonymous:             0 kB
00800000-00900000 r--p 00000000 fe:00 43                    /usr/lib/other
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:             0 kB
zz-yy r--p 00000000 fe:00 42                    /usr/bin/bot
Anonymous:             0 kB
`

// Only what the file holds unchanged is let go.
func TestCleanMappings(t *testing.T) {
	got := cleanMappings([]byte(smaps), "/usr/bin/bot")
	if len(got) != 1 || uintptr(got[0].start) != 0x400000 || got[0].size != 0x200000 {
		t.Errorf("%+v", got)
	}
}

// The program runs on after its pages were let go.
func TestUnmapProgram(t *testing.T) {
	unmapProgram()
	if _, err := os.ReadFile("/proc/self/smaps"); err != nil {
		t.Error(err)
	}
}
