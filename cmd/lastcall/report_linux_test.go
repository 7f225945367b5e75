package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// TestReportOnTerminal: a terminal gets colours, unless NO_COLOR is set or it has none,
// and lines that fit.
func TestReportOnTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, transcripts(t)["abandoned"], 0o600); err != nil {
		t.Fatal(err)
	}
	_, piped, _ := runCommand(t.Context(), "report", file)
	colours := regexp.MustCompile("\x1b\\[[0-9]+m")
	for name, tt := range map[string]struct {
		env      [2]string
		coloured bool
	}{
		"usual":    {[2]string{"TERM", "xterm"}, true},
		"NO_COLOR": {[2]string{"NO_COLOR", "1"}, false},
		"empty":    {[2]string{"NO_COLOR", ""}, true},
		"dumb":     {[2]string{"TERM", "dumb"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv("TERM", "xterm")
			t.Setenv(tt.env[0], tt.env[1])
			terminal, reader := openTerminal(t, 60)
			shown := make(chan string)
			go func() {
				var all strings.Builder
				for in := bufio.NewScanner(reader); in.Scan() && in.Text() != "end"; {
					all.WriteString(in.Text() + "\n")
				}
				shown <- all.String()
			}()
			code := shell{stdout: terminal, stderr: os.Stderr}.run(t.Context(), []string{"report", file})
			fmt.Fprintln(terminal, "end")
			text := <-shown
			if code != 0 || colours.MatchString(text) != tt.coloured {
				t.Errorf("exit code %d, and\n%q", code, text)
			}
			text = colours.ReplaceAllString(text, "")
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 60 {
					t.Errorf("%d columns in %q", n, line)
				}
			}
			if squeeze(text) != squeeze(piped) {
				t.Errorf("the terminal shows\n%s\nand the pipe\n%s", text, piped)
			}
		})
	}
}

// openTerminal returns the two ends of a pseudo-terminal of that width.
func openTerminal(t *testing.T, width uint16) (terminal, reader *os.File) {
	t.Helper()
	reader, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { reader.Close() })
	fd := int(reader.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	return terminal, reader
}
