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
	t := textDrawing{strokes: s, edges: m.edgesByParent()}
	t.region(0, State{States: m.States, Initial: m.Initial}, m.Start)
	var b strings.Builder
	for _, line := range wrap(m.Title, 72) {
		b.WriteString(line + "\n\n")
	}
	for _, line := range t.lanes() {
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
	edges map[string][]Edge
	rows  []textRow
}

func (t *textDrawing) region(depth int, in State, start string) {
	indent := strings.Repeat(t.lines[12]+"  ", depth)
	if in.Initial != "" {
		t.row(textRow{text: strings.TrimRight(indent+t.start+" "+oneLine(start), " "), target: in.Initial})
	}
	for _, s := range in.States {
		t.state(indent, depth, s)
		out := slices.DeleteFunc(slices.Clone(t.edges[in.Name]), func(e Edge) bool { return e.From != s.Name })
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

// lanes adds the lines to the rows. Each target has a lane, from the first row to the last
// one that has to do with it; lanes that do not meet share a column.
func (t *textDrawing) lanes() []string {
	type lane struct{ first, last, column int }
	lanes := make(map[string]*lane)
	var order []string
	wide := 0
	for i, r := range t.rows {
		wide = max(wide, columns(r.text))
		if name := r.target + r.state; name != "" { // a row has one of them
			if lanes[name] == nil {
				lanes[name] = &lane{first: i}
				order = append(order, name)
			}
			lanes[name].last = i
		}
	}
	order = slices.DeleteFunc(order, func(name string) bool { // states that no edge leads to
		return !slices.ContainsFunc(t.rows, func(r textRow) bool { return r.target == name })
	})
	slices.SortStableFunc(order, func(a, b string) int { // the short ones next to the states
		return lanes[a].last - lanes[a].first - lanes[b].last + lanes[b].first
	})
	var taken [][]*lane
	for _, name := range order {
		l := lanes[name]
		for l.column < len(taken) && slices.ContainsFunc(taken[l.column], func(o *lane) bool { return l.first <= o.last && o.first <= l.last }) {
			l.column++
		}
		if l.column == len(taken) {
			taken = append(taken, nil)
		}
		taken[l.column] = append(taken[l.column], l)
	}
	all := make([]string, len(t.rows))
	for i, r := range t.rows {
		cells := make([]int, 3*len(taken)+1)
		for _, column := range taken {
			for _, l := range column {
				at := 3*l.column + 2
				if l.first < i && i <= l.last {
					cells[at] |= 4
				}
				if l.first <= i && i < l.last {
					cells[at] |= 8
				}
			}
		}
		fill := " "
		name := r.target + r.state
		if name != "" && slices.Contains(order, name) {
			at := 3*lanes[name].column + 2
			for k := range at {
				cells[k] |= 3
			}
			cells[at] |= 1
			fill = t.lines[3]
		}
		all[i] = r.text
		gap := strings.Repeat(fill, wide+1-columns(r.text))
		if r.text != "" && fill != " " { // the head, or a space, before the line
			if gap = strings.TrimPrefix(gap, fill); r.state != "" {
				gap = t.left + gap
			} else {
				gap = " " + gap
			}
		}
		all[i] += gap
		for _, cell := range cells {
			all[i] += t.lines[cell]
		}
	}
	return all
}
