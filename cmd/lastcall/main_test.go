package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

// asLastcall in the environment makes the test binary behave as lastcall.
const asLastcall = "LASTCALL_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asLastcall) != "" {
		main()
	}
	os.Exit(m.Run())
}

var errNoSignal = errors.New("no signals in this test")

// runCommand runs a command in this process. It has no SIGTERM.
func runCommand(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = shell{stdout: &out, stderr: &errOut, signal: func(os.Signal) error { return errNoSignal }}.run(ctx, args)
	return code, out.String(), errOut.String()
}

func TestWrongUsage(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string // in stderr
	}{
		"no command":                        {nil, []string{"usage: lastcall <command>", "demo", "diagram", "draw", "help", "podspec", "report", "version"}},
		"unknown command":                   {[]string{"dmeo"}, []string{`command "dmeo" is none of demo, diagram, draw, help, podspec, report, version`, `"lastcall help"`}},
		"unknown flag first":                {[]string{"-x"}, []string{`command "-x" is none of`}},
		"unknown flag":                      {[]string{"demo", "-speed", "3"}, []string{"-speed", "its flags are -draw, -load, -log, -report, -reserve, -scenario, -settle, -total", `"lastcall help demo"`}},
		"extra argument":                    {[]string{"demo", "stuck"}, []string{`"stuck"`, "-scenario"}},
		"unknown scenario":                  {[]string{"demo", "-scenario", "chaos"}, []string{`-scenario "chaos" is none of drain, stream, stuck, silent, closer, signal, deadline`}},
		"not a duration":                    {[]string{"demo", "-total", "5"}, []string{`"5"`, "-total", "such as 30s or 1m30s"}},
		"a bad budget":                      {[]string{"demo", "-total", "2s"}, []string{"Reserve 2s must be less than Total 2s"}},
		"no reserve":                        {[]string{"demo", "-reserve", "0"}, []string{"Reserve is 0s, must be positive"}},
		"unknown drawing":                   {[]string{"demo", "-draw", "pie"}, []string{`-draw "pie" is none of path, sequence, gantt`}},
		"an empty drawing":                  {[]string{"demo", "-draw", ""}, []string{`-draw "" is none of`}},
		"no file for it":                    {[]string{"demo", "-report", ""}, []string{`-report "" is not a file`}},
		"a report in no folder":             {[]string{"demo", "-report", "/no/such/folder/r.json"}, []string{"/no/such/folder/r.json"}},
		"nothing to draw":                   {[]string{"draw"}, []string{"name one file, or - for stdin"}},
		"nothing to print":                  {[]string{"report"}, []string{"name one file, or - for stdin"}},
		"no name to print":                  {[]string{"report", ""}, []string{"name one file, or - for stdin"}},
		"too narrow":                        {[]string{"report", "-width", "12", "r.json"}, []string{"-width 12 is less than 40"}},
		"draw two":                          {[]string{"draw", "a", "b"}, []string{`"b" is one too many`}},
		"no such report":                    {[]string{"draw", "/no/such.json"}, []string{"/no/such.json"}},
		"draw as a pie":                     {[]string{"draw", "-as", "pie", "x"}, []string{`-as "pie" is none of path, sequence, gantt`}},
		"draw as a picture":                 {[]string{"draw", "-format", "png", "x"}, []string{`"png" is none of mermaid`}},
		"a gantt as SVG":                    {[]string{"draw", "-as", "gantt", "-format", "svg", "x"}, []string{"-format svg is for -as path, not for -as gantt"}},
		"not a report":                      {[]string{"draw", "main.go"}, []string{"main.go: it is neither a report nor lines of steps"}},
		"a negative load":                   {[]string{"demo", "-load", "-1s"}, []string{"-load is -1s"}},
		"unknown kind":                      {[]string{"diagram", "-kind", "pie"}, []string{`-kind "pie" is none of state, sequence`}},
		"unknown format":                    {[]string{"diagram", "-format", "pdf"}, []string{`format "pdf" is none of mermaid, dot, svg, text, ascii`}},
		"unknown direction":                 {[]string{"diagram", "-direction", "UP"}, []string{`"UP"`, "TB, BT, LR, RL"}},
		"an empty direction":                {[]string{"diagram", "-direction", ""}, []string{`""`, "TB, BT, LR, RL"}},
		"a blank title":                     {[]string{"diagram", "-title", " "}, []string{"title is blank"}},
		"a blank title, too":                {[]string{"diagram", "-kind", "sequence", "-title", ""}, []string{"title is blank"}},
		"a flag of the other":               {[]string{"diagram", "-kind", "sequence", "-calls", "-phases", "-direction", "LR"}, []string{"-calls is for -kind state", "-phases is for", "-direction is for"}},
		"too short a grace":                 {[]string{"podspec", "-grace", "9s", "-prestop", "5s"}, []string{"lastcall podspec: kubernetes: terminationGracePeriod 9s less preStop 5s leaves 4s, must leave at least 5s: 2s from the deadline to SIGKILL, Reserve 1s and 2s for the drain: raise terminationGracePeriodSeconds to at least 10\n", `"lastcall help podspec"`}},
		"no replicas":                       {[]string{"podspec", "-kind", "deployment", "-replicas", "0"}, []string{`"0"`, "-replicas", "1 to 2147483647"}},
		"more replicas than Kubernetes has": {[]string{"podspec", "-kind", "deployment", "-replicas", "3000000000"}, []string{`"3000000000"`, "-replicas", "1 to 2147483647"}},
		"half a replica":                    {[]string{"podspec", "-kind", "deployment", "-replicas", "1.5"}, []string{`"1.5"`, "-replicas", "1 to 2147483647"}},
		"replicas of a pod":                 {[]string{"podspec", "-replicas", "2"}, []string{"-replicas is for -kind deployment, not for -kind snippet"}},
		"a start in no time":                {[]string{"podspec", "-startup", "0s"}, []string{"-startup is 0s, must be whole seconds, 1s to 24h0m0s"}},
		"a start that never ends":           {[]string{"podspec", "-startup", "600000h"}, []string{"-startup is 600000h0m0s, must be whole seconds, 1s to 24h0m0s"}},
		"half a second more":                {[]string{"podspec", "-startup", "1500ms"}, []string{"-startup is 1.5s, must be whole seconds"}},
		"startup of a budget":               {[]string{"podspec", "-kind", "budget", "-startup", "10s"}, []string{"-startup is for -kind snippet and deployment"}},
		"half a second":                     {[]string{"podspec", "-prestop", "1500ms"}, []string{"lastcall podspec: kubernetes: preStop is 1.5s, must be whole seconds"}},
		"a negative hook":                   {[]string{"podspec", "-prestop", "-5s"}, []string{"preStop is -5s, must not be negative"}},
		"seconds without s":                 {[]string{"podspec", "-grace", "30"}, []string{`"30"`, "-grace", "such as 30s or 1m30s"}},
		"no such port":                      {[]string{"podspec", "-port", "65536"}, []string{`"65536"`, "-port", "1 to 65535"}},
		"a port by name":                    {[]string{"podspec", "-health-port", "admin"}, []string{`"admin"`, "-health-port", "1 to 65535"}},
		"unknown podspec":                   {[]string{"podspec", "-kind", "chart", "-health", "tcp"}, []string{`-kind "chart" is none of snippet, deployment, budget`, `-health "tcp" is none of grpc, http`}},
		"names of no pod":                   {[]string{"podspec", "-kind", "deployment", "-name", "My App", "-image", "a b"}, []string{`-name "My App"`, `-image "a b"`}},
		"a long name":                       {[]string{"podspec", "-name", strings.Repeat("a", 64)}, []string{"-name \"aaa", "at most 63"}},
		"exec of nothing":                   {[]string{"podspec", "-exec"}, []string{"-exec is for a preStop hook, but -prestop is 0s"}},
		"image of a snippet":                {[]string{"podspec", "-image", "a", "-headless"}, []string{"-image is for -kind deployment, not for -kind snippet", "-headless is for"}},
		"port of a budget":                  {[]string{"podspec", "-kind", "budget", "-port", "80"}, []string{"-port is for -kind snippet and deployment, not for -kind budget"}},
		"help for nothing":                  {[]string{"help", "dmeo"}, []string{`command "dmeo" is none of`, "\"lastcall help\" explains the commands.\n"}},
		"help for two":                      {[]string{"help", "demo", "diagram"}, []string{`"diagram"`}},
		"version with more":                 {[]string{"version", "now"}, []string{`"now"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runCommand(t.Context(), tt.args...)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if stdout != "" {
				t.Errorf("it wrote to stdout: %q", stdout)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
}

func TestHelp(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string // in stdout
	}{
		"of lastcall":          {[]string{"help"}, []string{"usage: lastcall <command>", "demo", "diagram", "draw", "help", "podspec", "report", "version"}},
		"of lastcall, by -h":   {[]string{"-h"}, []string{"usage: lastcall <command>"}},
		"of lastcall, by long": {[]string{"--help"}, []string{"usage: lastcall <command>"}},
		"of demo":              {[]string{"help", "demo"}, []string{"usage: lastcall demo", "drain     0", "stream    5", "stuck     4", "silent    0", "closer    6", "signal    5", "deadline  4", "-total time", "(default 6s)", "-settle", "-reserve", "-load", "-log", "-draw kind", "-report file"}},
		"of demo, by -h":       {[]string{"demo", "-h"}, []string{"usage: lastcall demo", "-scenario name"}},
		"of diagram":           {[]string{"help", "diagram"}, []string{"usage: lastcall diagram", "-kind", "-direction", "-title", "-calls", "-phases", "-check file", "-update file", "-machine name", "-o file", "<!-- lastcall:order.New -->"}},
		"of draw":              {[]string{"help", "draw"}, []string{"usage: lastcall draw", "-as kind", "sequence", "gantt", "-format"}},
		"of report":            {[]string{"help", "report"}, []string{"usage: lastcall report", "NO_COLOR", "-width columns"}},
		"of podspec":           {[]string{"help", "podspec"}, []string{"usage: lastcall podspec", "-kind", "-grace", "(default 30s)", "-prestop", "-exec", "-port", "(default 50051)", "-health ", "-health-port", "-name", "-image", "-headless", "-replicas", "(default 3)", "-startup"}},
		"of podspec, by -h":    {[]string{"podspec", "-h"}, []string{"usage: lastcall podspec", "snippet", "deployment", "budget"}},
		"of help":              {[]string{"help", "help"}, []string{"usage: lastcall help"}},
		"of version, by -help": {[]string{"version", "-help"}, []string{"usage: lastcall version"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runCommand(t.Context(), tt.args...)
			if code != 0 || stderr != "" {
				t.Errorf("exit code %d, stderr %q; want 0 and nothing", code, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("stdout does not say %q:\n%s", want, stdout)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	if code, stdout, _ := runCommand(t.Context(), "version"); code != 0 || !strings.HasPrefix(stdout, "lastcall ") {
		t.Errorf("exit code %d, stdout %q", code, stdout)
	}
	info := &debug.BuildInfo{Main: debug.Module{Version: "v0.3.1"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "6da4dbb"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got, want := version(info), "lastcall v0.3.1 commit 6da4dbb (modified) go"; !strings.HasPrefix(got, want) {
		t.Errorf("version is %q, want %q...", got, want)
	}
	if got, want := version(nil), "lastcall (devel) go"; !strings.HasPrefix(got, want) {
		t.Errorf("version without build info is %q, want %q...", got, want)
	}
}

// brokenWriter is a stdout that takes nothing.
type brokenWriter struct{}

var errBroken = errors.New("the disk is full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// TestBrokenStdout: what could not be printed is an error, and not one of usage.
func TestBrokenStdout(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"help"}, {"help", "demo"}, {"demo", "-h"}, {"-h"}, {"diagram"}, {"diagram", "-kind", "sequence"}, {"podspec"}} {
		var stderr bytes.Buffer
		code := shell{stdout: brokenWriter{}, stderr: &stderr}.run(t.Context(), args)
		if code != 1 || !strings.Contains(stderr.String(), errBroken.Error()) {
			t.Errorf("%v: exit code %d, stderr %q; want 1 and the error", args, code, stderr.String())
		}
	}
}
