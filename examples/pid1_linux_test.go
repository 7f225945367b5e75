package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lastcall-go/lastcall/report"
)

// TestChecklist_BinaryReceivesSIGTERM_AsPID1: as the first process of a container the
// program gets only signals that it listens for.
func TestChecklist_BinaryReceivesSIGTERM_AsPID1(t *testing.T) {
	t.Parallel()
	g, flags := files(t.TempDir())
	cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "full"), append(append(flags, "-addr=127.0.0.1:0"), roomy...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
	}
	g.child = run(t, cmd)
	g.await(t, "phase serve")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), fmt.Sprintf("NSpid:\t%d\t1\n", cmd.Process.Pid)) {
		t.Fatalf("%v, or not process 1 of a namespace: %s", err, status)
	}
	g.terminate(t)
	g.ends(t, report.ExitOK)
}
