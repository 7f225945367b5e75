package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

const versionHelp = `usage: lastcall version

Prints the version of lastcall, the commit it was built from if Go knows it, and
the version of Go.
`

func bindVersion(*flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	return func(_ context.Context, sh shell, _ []string) (int, error) {
		info, _ := debug.ReadBuildInfo()
		_, err := fmt.Fprintln(sh.stdout, version(info))
		return 0, err
	}
}

// version describes a build in one line. The info may be nil: a binary built
// without module support has none.
func version(info *debug.BuildInfo) string {
	release, commit, modified := "(devel)", "", ""
	if info != nil {
		if info.Main.Version != "" {
			release = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = " commit " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " (modified)"
			}
		}
	}
	return fmt.Sprintf("lastcall %s%s%s %s %s/%s", release, commit, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
