package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each result, on a module of one function.
func TestResults(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":      "module example.com/add\n\ngo 1.26.0\n",
		"add.go":      "package add\n\nfunc Add(a, b int) int {\n\treturn a + b\n}\n",
		"add_test.go": "package add\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(2, 2) != 4 {\n\t\tt.Error(\"wrong\")\n\t}\n}\n",
		"bench/mutants/add.txt": `# A comment.

dies
in .
test ./...
-	return a + b
+	return a - b

survives
-	return a + b
+	return a * b

equals
-a + b
+b + a
equivalent addition commutes

does not equal
-a + b
+b - a
equivalent it is said so

hangs
-	return a + b
+	for a != b+1 {
+	}
+	return a + b

does not apply
-a % b
+a / b

does not build
-a + b
+a + c
`,
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("git", "init", root).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	t.Chdir(filepath.Join(root, "bench"))
	var out, log bytes.Buffer
	if code := command(t.Context(), []string{"-limit", "3s"}, &out, &log); code != 1 {
		t.Errorf("exit code %d, want 1\n%s", code, log.String())
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"killed|dies|TestAdd", "SURVIVED|survives|", "equivalent|equals|commutes", "SURVIVED|does not equal|but TestAdd|notices",
		"hung|hangs|TestAdd", "DOES NOT APPLY|does not apply|0 times", "DOES NOT BUILD|does not build|undefined: c"} {
		for part := range strings.SplitSeq(want, "|") {
			if i >= len(lines) || !strings.Contains(lines[i], part) {
				t.Errorf("there is no %q in the line of %s:\n%s", part, want, out.String())
			}
		}
	}
	if code := command(t.Context(), []string{"-only", "^(dies|equals)$", "-with", ". -run TestAdd"}, &out, &log); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, out.String())
	}
	if content, err := os.ReadFile(filepath.Join(root, "add.go")); err != nil || !strings.Contains(string(content), "a + b") {
		t.Errorf("the tree itself was changed: %s, %v", content, err)
	}
}
