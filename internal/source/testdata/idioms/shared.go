package idioms

// What is changed here shares its memory with what machines are made of. None is drawn: the
// lines that are to blame end in a comment with the function's name.

import "github.com/looplab/fsm"

var shared1 = fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}}

func init() {
	for _, e := range shared1 {
		e.Src[0] = "z" // Range
	}
}

func Range() *fsm.FSM { return fsm.NewFSM("a", shared1, nil) }

var shared2 = fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}}

func init() { x := shared2[0]; x.Src[0] = "z" } // Copy

func Copy() *fsm.FSM { return fsm.NewFSM("a", shared2, nil) }

var shared3 = []string{"a"}

func init() { x := [][]string{shared3}; x[0][0] = "z" } // InLiteral

func InLiteral() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared3, Dst: "b"}}, nil)
}

var shared4, shared40 = []string{"a"}, []string{"a"}

func shift(all ...[]string) { all[1][0] = "z" } // Variadic
func init()                 { shift(shared40, shared4) }

func Variadic() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared4, Dst: "b"}}, nil)
}

type changer struct{}

func (changer) shift(x, s []string) { s[0] = "z" }

var shared5 = []string{"a"}

func init() { changer.shift(changer{}, nil, shared5) } // MethodExpr

func MethodExpr() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared5, Dst: "b"}}, nil)
}

var shared6 = []string{"a"}

func current() []string { return shared6 }
func init()             { current()[0] = "z" } // Returned

func Returned() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared6, Dst: "b"}}, nil)
}

var shared7 = []string{"a"}

func init() {
	var x []string
	x = shared7
	x[0] = "z" // Assigned
}

func Assigned() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared7, Dst: "b"}}, nil)
}

var shared8 = []string{"a"}

func init() {
	x, _ := shared8, 1
	y := x
	func() { y[0] = "z" }() // Chain
}

func Chain() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared8, Dst: "b"}}, nil)
}

var shared9 = []string{"a"}

type boxed struct{ s []string }

func init() { b := boxed{shared9}; b.s[0] = "z" } // Boxed

func Boxed() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared9, Dst: "b"}}, nil)
}

var shared10 = []string{"a"}

type boxed2 struct{ s []string }

func init() {
	var b boxed2
	b.s = shared10
	b.s[0] = "z" // Boxed2
}

func Boxed2() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared10, Dst: "b"}}, nil)
}

var shared11 = []string{"a"}

func init() {
	i := any(shared11)
	i.([]string)[0] = "z" // Iface
}

func Iface() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared11, Dst: "b"}}, nil)
}

var shared12 = []string{"a"}

type words []string

func init() { l := words(shared12); l[0] = "z" } // Converted

func Converted() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared12, Dst: "b"}}, nil)
}

var shared13 = []string{"a"}

func init() {
	c := make(chan []string, 1)
	c <- shared13
	(<-c)[0] = "z" // Chan
}

func Chan() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared13, Dst: "b"}}, nil)
}

func through1(s []string) []string { return s }

var shared14 = []string{"a"}

func init() { x := through1(shared14); x[0] = "z" } // Through

func Through() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared14, Dst: "b"}}, nil)
}

var shared15 = [...]string{"a"}

func init() { x := shared15[:]; x[0] = "z" } // Arr

func Arr() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: []string{shared15[0]}, Dst: "b"}}, nil)
}

var shared16 = []string{"a"}

func init()                      { generally(shared16) }
func generally[S ~[]string](s S) { s[0] = "z" } // Gen

func Gen() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared16, Dst: "b"}}, nil)
}

var shared17 = fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}, {Name: "back", Src: []string{"b"}, Dst: "a"}}

func init() { _ = appending(shared17[:1]) }

func appending(e fsm.Events) fsm.Events {
	return append(e, fsm.EventDesc{Name: "on", Src: []string{"b"}, Dst: "c"}) // Cut
}

func Cut() *fsm.FSM { return fsm.NewFSM("a", shared17, nil) }

var shared18 = []string{"a"}

func init()                      { named18()[0] = "z" } // NamedResult
func named18() (states []string) { states = shared18; return }
func NamedResult() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared18, Dst: "b"}}, nil)
}

var shared19 = []string{"a"}

func init()                         { first19(shared19, "z") }
func first19(s []string, by string) { s[0] = by } // FirstOfTwo
func FirstOfTwo() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: shared19, Dst: "b"}}, nil)
}

func twoAppends(e fsm.Events) *fsm.FSM {
	all := append(e, event("x", "a", "b"))
	_ = append(e, event("y", "a", "b")) // twoAppends
	return fsm.NewFSM("a", all, nil)
}

func TwoAppends() *fsm.FSM {
	return twoAppends(append(fsm.Events{event("1", "a", "b"), event("2", "a", "b")}, event("3", "a", "b")))
}

func with(e fsm.Events, name string) fsm.Events {
	return append(e, event(name, "a", "b")) // TwoCalls
}

func TwoCalls() *fsm.FSM {
	e := append(fsm.Events{event("1", "a", "b"), event("2", "a", "b")}, event("3", "a", "b"))
	all := with(e, "x")
	_ = with(e, "y")
	return fsm.NewFSM("a", all, nil)
}
