package examples_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/proptest"
	"github.com/lastcall-go/lastcall/report"
)

// schemas returns docs/report.schema.json twice: as it is, and closed, which allows no key
// that it does not list.
func schemas(t *testing.T) (open, closed *jsonschema.Schema) {
	t.Helper()
	text, err := os.ReadFile("../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	compile := func(strict bool) *jsonschema.Schema {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if strict {
			shut(doc)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		c.AssertFormat()
		if err := c.AddResource("report.schema.json", doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("report.schema.json")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return compile(false), compile(true)
}

// shut closes every object of a schema.
func shut(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for inner := range maps.Values(v) {
			shut(inner)
		}
	case []any:
		for _, inner := range v {
			shut(inner)
		}
	}
}

// enlarge adds a key to every object of a document.
func enlarge(v any) {
	switch v := v.(type) {
	case map[string]any:
		for inner := range maps.Values(v) {
			enlarge(inner)
		}
		v["added_later"] = map[string]any{"a": []any{1.5, nil}}
	case []any:
		for _, inner := range v {
			enlarge(inner)
		}
	}
}

// holds checks a report's JSON: it has the schema's keys and no other, and with more of
// them it still has the schema, and is read as the same report.
func holds(t interface{ Errorf(string, ...any) }, open, closed *jsonschema.Schema, text []byte) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	if err := closed.Validate(doc); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	enlarge(doc)
	if err := open.Validate(doc); err != nil {
		t.Errorf("with more keys: %v", err)
	}
	more, err := json.Marshal(doc)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	var was, is report.Report
	if err := json.Unmarshal(text, &was); err != nil {
		t.Errorf("%v", err)
	}
	if err := json.Unmarshal(more, &is); err != nil || !reflect.DeepEqual(was, is) { //nolint:govet // errors and all
		t.Errorf("with more keys it is read as another report, error %v:\n%v\n%v", err, is, was)
	}
}

// TestSchemaOfTranscripts: the reports of the controller's transcripts have the schema of
// docs, and the schema can tell.
func TestSchemaOfTranscripts(t *testing.T) {
	open, closed := schemas(t)
	files, err := filepath.Glob("../controller/testdata/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, name := range files {
		all, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(all), "\nJSON\n")
		holds(t, open, closed, []byte(text))
		for old, wrong := range map[string]string{
			`"forced":`: `"was_forced":`, `"version":1`: `"version":2`, `"elapsed_seconds":`: `"elapsed_seconds":-`, `"state":"SERVING"`: `"state":"RUNNING"`,
			`"took_seconds":`: `"took":"1s","took_s":`, `"begun":"2000`: `"begun":"20`,
		} {
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.ReplaceAll(text, old, wrong)))
			if err != nil {
				continue // "-" before a "0" that has more digits
			}
			if open.Validate(doc) == nil {
				t.Errorf("%s: with %s the schema still holds", name, wrong)
			}
		}
	}
	text, err := json.Marshal(report.Report{})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, open, closed, text) // that of no shutdown
}

// TestSchemaOfRandomRuns: so have the reports of random shutdowns.
func TestSchemaOfRandomRuns(t *testing.T) {
	open, closed := schemas(t)
	rapid.Check(t, func(t *rapid.T) {
		plan := proptest.DrawAdversaries(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			world := plan.World()
			ctl, err := controller.New(world.Setup().Budget, append(world.Setup().Options(world.Log()), controller.WithSignalChannel(world.Signals()))...)
			if err != nil {
				t.Fatalf("New: %v", err)
			}
			ctx := world.Begin(ctl)
			text, err := json.Marshal(ctl.Run(ctx))
			world.End()
			synctest.Wait()
			if err != nil {
				t.Fatal(err)
			}
			holds(t, open, closed, text)
		})
	})
}
