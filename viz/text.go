package viz

import (
	"slices"
	"strings"
)

// strokes are the characters that lines are drawn with: what connects left, right, up and
// down, by the sum of 1, 2, 4 and 8.
type strokes struct {
	lines  [16]string
	left   string // an arrow's head
	start  string
	marks  [Forced + 1]string // of classes
	double string             // at a state in which the machine ends
}

func unicodeStrokes() strokes {
	return strokes{
		lines: [16]string{" ", "─", "─", "─", "│", "┘", "└", "┴", "│", "┐", "┌", "┬", "│", "┤", "├", "┼"},
		left:  "◀", start: "●", marks: [...]string{"", "✓ ", "▶ ", "! "}, double: " ◉",
	}
}

func asciiStrokes() strokes {
	return strokes{
		lines: [16]string{" ", "-", "-", "-", "|", "+", "+", "+", "|", "+", "+", "+", "|", "+", "+", "|"},
		left:  "<", start: "o", marks: [...]string{"", "* ", "@ ", "! "}, double: " (end)",
	}
}

// text draws the states below one another, each followed by the edges that leave it. A line
// goes from an edge's label to the right, and then up or down to its target. All edges to
// one target share a line, so there are at most as many as states.
func (m Machine) text(s strokes) string {
	t := textDrawing{strokes: s, edges: m.Edges}
	t.region(0, State{States: m.States, Initial: m.Initial}, m.Start)
	var b strings.Builder
	for _, line := range wrap(m.Title, 72) {
		b.WriteString(line + "\n\n")
	}
	for _, line := range t.draw() {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// textRow is a line of the drawing, without what is to the right of it.
type textRow struct {
	text   string
	target string // the state to which an edge leads from here
	state  string // the state at whose box edges end here
}

type textDrawing struct {
	strokes
	edges []Edge
	rows  []textRow
}

func (t *textDrawing) region(depth int, in State, start string) {
	indent := strings.Repeat(t.lines[12]+"  ", depth)
	if in.Initial != "" {
		t.row(textRow{text: strings.TrimRight(indent+t.start+" "+oneLine(start), " "), target: in.Initial})
	}
	for _, s := range in.States {
		t.state(indent, depth, s)
		out := slices.DeleteFunc(slices.Clone(t.edges), func(e Edge) bool { return e.From != s.Name })
		for i, e := range out {
			corner := t.lines[14]
			if i == len(out)-1 {
				corner = t.lines[6]
			}
			label := t.marks[e.Class] + oneLine(e.Label)
			t.row(textRow{text: strings.TrimRight(indent+" "+corner+" "+label, " "), target: e.To})
		}
	}
}

// state draws the box of a state, with what is inside.
func (t *textDrawing) state(indent string, depth int, s State) {
	name := wrap(t.marks[s.Class]+s.label(), 40)
	if s.Terminal {
		name[len(name)-1] += t.double
	}
	body := slices.Clone(name)
	for _, note := range s.Notes {
		body = append(body, wrap("("+strings.TrimSpace(note)+")", 40)...)
	}
	w := 0
	for _, line := range body {
		w = max(w, columns(line))
	}
	line := func(left, right int) string {
		return indent + t.lines[left] + strings.Repeat(t.lines[3], w+2) + t.lines[right]
	}
	t.row(textRow{text: line(10, 9)})
	for i, text := range body {
		row := textRow{text: indent + t.lines[12] + " " + text + strings.Repeat(" ", w-columns(text)) + " " + t.lines[12]}
		if i == 0 {
			row.state = s.Name
		}
		t.row(row)
	}
	if len(s.States) > 0 {
		t.row(textRow{text: line(14, 5)})
		t.region(depth+1, s, "")
		t.row(textRow{text: indent + t.lines[6] + t.lines[3]})
		return
	}
	t.row(textRow{text: line(6, 5)})
}

func (t *textDrawing) row(r textRow) { t.rows = append(t.rows, r) }

// oneLine returns a text without line ends.
func oneLine(text string) string { return strings.Join(strings.Fields(visible(text)), " ") }

// lane is the line to a target, from the first row to the last one that has to do with it.
type lane struct{ first, last, column int }

// lanes returns the lanes of all targets, and how many columns they take. Lanes that do not
// meet share a column.
func (t *textDrawing) lanes() (lanes map[string]*lane, width int) {
	lanes = make(map[string]*lane)
	for _, r := range t.rows {
		if r.target != "" {
			lanes[r.target] = nil // no edge leads to other states
		}
	}
	var order []*lane
	for i, r := range t.rows {
		name := r.target + r.state // a row has one of them, or none
		l, led := lanes[name]
		if !led {
			continue
		}
		if l == nil {
			l = &lane{first: i}
			lanes[name], order = l, append(order, l)
		}
		l.last = i
	}
	slices.SortStableFunc(order, func(a, b *lane) int { return a.last - a.first - b.last + b.first }) // the short ones next to the states
	var taken [][]*lane
	for _, l := range order {
		for l.column < len(taken) && slices.ContainsFunc(taken[l.column], func(o *lane) bool { return l.first <= o.last && o.first <= l.last }) {
			l.column++
		}
		if l.column == len(taken) {
			taken = append(taken, nil)
		}
		taken[l.column] = append(taken[l.column], l)
	}
	return lanes, len(taken)
}

// draw adds the lanes to the rows.
func (t *textDrawing) draw() (all []string) {
	lanes, width := t.lanes()
	wide := 0
	for _, r := range t.rows {
		wide = max(wide, columns(r.text))
	}
	for i, r := range t.rows {
		cells := make([]int, 3*width) // what each connects: see strokes
		for _, l := range lanes {
			if l.first < i && i <= l.last {
				cells[3*l.column+2] |= 4
			}
			if l.first <= i && i < l.last {
				cells[3*l.column+2] |= 8
			}
		}
		gap := strings.Repeat(" ", wide+1-columns(r.text))
		if l := lanes[r.target+r.state]; l != nil {
			for k := range 3*l.column + 2 {
				cells[k] |= 3
			}
			cells[3*l.column+2] |= 1
			gap = strings.Repeat(t.lines[3], wide-columns(r.text))
			if r.state != "" {
				gap = t.left + gap
			} else {
				gap = " " + gap
			}
		}
		var b strings.Builder
		b.WriteString(r.text + gap)
		for _, cell := range cells {
			b.WriteString(t.lines[cell])
		}
		all = append(all, b.String())
	}
	return all
}
