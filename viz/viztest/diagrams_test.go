package viztest_test

import (
	"testing"

	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall/viz"
	"github.com/lastcall-go/lastcall/viz/viztest"
)

var orderEvents = fsm.Events{
	{Name: "pay", Src: []string{"pending"}, Dst: "paid"},
	{Name: "ship", Src: []string{"paid"}, Dst: "shipped"},
	{Name: "cancel", Src: []string{"pending", "paid"}, Dst: "cancelled"},
}

func TestDiagrams(t *testing.T) {
	order := viz.FromEvents("pending", orderEvents)
	viztest.Keep(t, "README.md", map[string]viz.Drawing{"order": order})
	if err := viz.Check(order); err != nil {
		t.Error(err)
	}
}
