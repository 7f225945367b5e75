package controller_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// G4: a SIGINT typed at a terminal leaves settle out, and the report says so; a SIGTERM
// that comes there does not.
func TestG4_SettleTyped(t *testing.T) {
	terminal, typist := openTerminal(t)
	defer typist.Close()
	stdin := os.Stdin
	os.Stdin = terminal
	defer func() { os.Stdin = stdin }()
	for name, tt := range map[string]struct {
		send func(chan<- os.Signal)
		want report.SettleEnd
		took time.Duration
	}{
		"Ctrl-C":  {func(ch chan<- os.Signal) { ch <- os.Interrupt }, report.SettleTyped, 0},
		"SIGTERM": {sigterm, report.SettleTime, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				var out bytes.Buffer
				signals := make(chan os.Signal)
				c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", newServer(d, "s", 0)), controller.WithLogger(zerolog.New(&out)))
				time.AfterFunc(time.Minute, func() { tt.send(signals) })
				r := c.Run(context.Background())
				wantTook(t, r.Took(), tt.took)
				text, err := r.MarshalJSON()
				for _, said := range []string{string(text), out.String()} {
					if r.Settle != tt.want || err != nil || strings.Count(said, `"settle":"`+string(tt.want)+`"`) != 1 {
						t.Errorf("settle ended with %q, want %q, error %v\n%s", r.Settle, tt.want, err, said)
					}
				}
			})
		})
	}
	if got := string(report.SettleTyped); got != "asked for at a terminal" {
		t.Errorf("the report says %q", got)
	}
}
