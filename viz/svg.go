package viz

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall/internal/layered"
)

// svgStyle has names of its own for everything, since a picture may stand inside a page.
// What is forced is also dashed: colour is not the only sign.
const svgStyle = `<style>
.lcv{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;--b:#fff;--f:#f6f8fa;--s:#57606a;--t:#1f2328;--vf:#dafbe1;--vs:#1a7f37;--cf:#fff8c5;--cs:#9a6700;--ff:#ffebe9;--fs:#cf222e}
@media(prefers-color-scheme:dark){.lcv{--b:#0d1117;--f:#21262d;--s:#8b949e;--t:#e6edf3;--vf:#12361f;--vs:#3fb950;--cf:#3b2e08;--cs:#d29922;--ff:#4c1519;--fs:#f85149}}
.lcv text{fill:var(--t);text-anchor:middle}
.lcv-back,.lcv-gap{fill:var(--b)}
.lcv-edge path{fill:none;stroke:var(--s);stroke-width:1.5}
.lcv-edge .lcv-head,.lcv-start{fill:var(--s);stroke:none}
.lcv-state rect,.lcv-state line{fill:var(--f);stroke:var(--s);stroke-width:1.5}
.lcv-state .lcv-inner{fill:var(--b);stroke:var(--s);stroke-width:1.5;stroke-dasharray:none}
.lcv-note{font-style:italic}
.lcv-visited rect,.lcv-visited line{fill:var(--vf);stroke:var(--vs);stroke-width:2.5}
.lcv-visited path{stroke:var(--vs);stroke-width:2.5}
.lcv-visited .lcv-head{fill:var(--vs)}
.lcv-current rect,.lcv-current line{fill:var(--cf);stroke:var(--cs);stroke-width:3.5}
.lcv-current path{stroke:var(--cs);stroke-width:3.5}
.lcv-current .lcv-head{fill:var(--cs)}
.lcv-forced rect,.lcv-forced line{fill:var(--ff);stroke:var(--fs);stroke-width:2.5;stroke-dasharray:7 3}
.lcv-forced path{stroke:var(--fs);stroke-width:2.5;stroke-dasharray:7 3}
.lcv-forced .lcv-head{fill:var(--fs)}
</style>
`

const (
	nameSize, labelSize   = 14.0, 12.0
	nameLine, labelLine   = 18.0, 15.0 // from one line of text to the next
	nameLimit, labelLimit = 24, 24     // columns
	margin                = 16.0
	padding               = 12.0
	startSize             = 14.0
	loopSize              = 26.0 // how far a loop goes out
)

// svg draws the machine as a picture of its own.
func (m Machine) svg() string {
	p := svgPicture{edges: make(map[string][]Edge), chains: m.chains()}
	labels := make(map[string]string)
	walk(m.States, func(s *State, _ string) { labels[s.Name] = s.label() })
	for in, edges := range m.levels() {
		for _, e := range edges {
			p.edges[in] = append(p.edges[in], e.lifted(func(name string) string { return labels[name] }))
		}
	}
	p.labels = labels
	body, w, h := p.region(State{States: m.States, Initial: m.Initial}, m.Start, m.Direction)
	top := margin
	var title string
	if !blank(m.Title) {
		lines := wrap(m.Title, 60)
		w = max(w, textWidth(lines, nameSize*1.15))
		title = text(lines, w/2+margin, margin+nameSize, nameSize*1.15, nameLine, "")
		top += float64(len(lines))*nameLine + padding
	}
	name := "State machine"
	if !blank(m.Title) {
		name = m.Title
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lcv\" role=\"img\" width=\"%s\" height=\"%s\" viewBox=\"0 0 %[1]s %[2]s\" style=\"max-width:100%%;height:auto\">\n<title>%[3]s</title>\n%[4]s<rect class=\"lcv-back\" width=\"100%%\" height=\"100%%\"/>\n%[5]s<g transform=\"translate(%[6]s)\">\n%[7]s</g>\n</svg>\n",
		num(w+2*margin), num(h+top+margin), escapeXML(name), svgStyle, title, num(margin)+" "+num(top), body)
}

type svgPicture struct {
	edges  map[string][]Edge // by enclosing state
	chains map[string][]string
	labels map[string]string // by state
}

// bundle returns one edge for all between the same states in the same direction and
// class, with their labels under one another. There is one loop for a state.
func bundle(edges []Edge) (all []Edge) {
	at := make(map[Edge]int)
	for _, e := range edges {
		key := Edge{From: e.From, To: e.To, Class: e.Class}
		if e.From == e.To {
			key.Class = 0
		}
		i, ok := at[key]
		if !ok {
			at[key] = len(all)
			all = append(all, e)
			continue
		}
		all[i].Label = strings.Trim(all[i].Label+"\n"+e.Label, "\n")
		all[i].Class = max(all[i].Class, e.Class)
	}
	return all
}

// region draws what is inside a state, or the whole machine.
func (p *svgPicture) region(in State, start string, d Direction) (body string, w, h float64) {
	f := frame{direction: d}
	var states []func(w, h float64) string // draw the states around 0 0
	index := make(map[string]int)
	var edges []Edge
	if in.Initial != "" {
		states = append(states, func(_, _ float64) string {
			return fmt.Sprintf("<circle class=\"lcv-start\" r=\"%s\"/>\n", num(startSize/2))
		})
		f.node(startSize, startSize)
		first := levelEdge{Edge{To: in.Initial, Label: start}, "", p.chains[in.Initial][len(p.chains[in.Name])]}
		edges = append(edges, first.lifted(func(name string) string { return p.labels[name] }))
	}
	for _, s := range in.States {
		drawn, w, h := p.state(s, d)
		index[s.Name] = len(states)
		states = append(states, drawn)
		f.node(w, h)
	}
	edges = append(edges, bundle(p.edges[in.Name])...)
	for _, e := range edges {
		f.edge(index[e.From], index[e.To], wrap(e.Label, labelLimit)) // a start has no name, and index 0
	}
	f.graph.Layout()
	var b strings.Builder
	for i := range edges {
		b.WriteString(f.drawEdge(i, edges[i].Class))
	}
	for i := range edges {
		b.WriteString(f.drawLabel(i))
	}
	for i, n := range f.graph.Nodes {
		at := f.at(layered.Point{X: n.X, Y: n.Y})
		fmt.Fprintf(&b, "<g transform=\"translate(%s %s)\">\n%s</g>\n", num(at.X), num(at.Y), states[i](f.size(n.W, n.H)))
	}
	w, h = f.graph.W, f.graph.H
	if f.sideways() {
		w, h = h, w
	}
	return b.String(), w, h
}

// box is what a state's drawing consists of.
type box struct {
	State
	name, notes []string // in lines
	inner       string   // what is inside
	iw, ih      float64
}

// state returns how a state is drawn around 0 0, and the least size.
func (p *svgPicture) state(s State, d Direction) (draw func(w, h float64) string, w, h float64) {
	b := box{State: s, name: wrap(s.label(), nameLimit)}
	w = max(56, textWidth(b.name, nameSize)+2*padding)
	h = float64(len(b.name))*nameLine + padding
	if len(s.States) > 0 {
		across := LeftRight // what is inside runs across
		if d == LeftRight || d == RightLeft {
			across = TopDown
		}
		b.inner, b.iw, b.ih = p.region(s, "", across)
		w, h = max(w, b.iw+2*padding), h+b.ih+2*padding
	}
	for _, note := range s.Notes {
		b.notes = append(b.notes, wrap(note, labelLimit+8)...)
	}
	if len(b.notes) > 0 {
		w = max(w, textWidth(b.notes, labelSize)+2*padding)
		h += float64(len(b.notes))*labelLine + padding
	}
	if s.Terminal {
		w, h = w+8, h+8
	}
	least := h
	return func(w, h float64) string { return b.draw(w, h, (h-least)/2) }, w, h
}

// draw draws the box, with room above and below its content.
func (s box) draw(w, h, room float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<g class=\"lcv-state%s\">\n", classOf(s.Class))
	rect := func(class string, x, y, w, h, r float64) {
		fmt.Fprintf(&b, "<rect%s x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"%s\"/>\n", class, num(x), num(y), num(w), num(h), num(r))
	}
	rect("", -w/2, -h/2, w, h, 8)
	y := -h/2 + room
	if s.Terminal { // a second border
		rect("", -w/2+4, -h/2+4, w-8, h-8, 5)
		y += 4
	}
	b.WriteString(text(s.name, 0, y+padding/2+nameSize-1, nameSize, nameLine, ""))
	y += float64(len(s.name))*nameLine + padding
	if s.inner != "" {
		rect(" class=\"lcv-inner\"", -s.iw/2-padding/2, y, s.iw+padding, s.ih+padding, 5)
		fmt.Fprintf(&b, "</g>\n<g transform=\"translate(%s %s)\">\n%s</g>\n<g class=\"lcv-state%s\">\n", num(-s.iw/2), num(y+padding/2), s.inner, classOf(s.Class))
		y += s.ih + 2*padding
	}
	if len(s.notes) > 0 {
		fmt.Fprintf(&b, "<line x1=\"%s\" x2=\"%s\" y1=\"%s\" y2=\"%[3]s\"/>\n", num(-w/2+padding/2), num(w/2-padding/2), num(y))
		b.WriteString(text(s.notes, 0, y+labelLine, labelSize, labelLine, " class=\"lcv-note\""))
	}
	b.WriteString("</g>\n")
	return b.String()
}

func classOf(c Class) string {
	if c == Plain {
		return ""
	}
	return " lcv-" + c.String()
}

// text draws lines of text, the first one at y.
func text(lines []string, x, y, size, step float64, attr string) string {
	var b strings.Builder
	for i, line := range lines {
		fmt.Fprintf(&b, "<text%s x=\"%s\" y=\"%s\" font-size=\"%s\">%s</text>\n", attr, num(x), num(y+float64(i)*step), num(size), escapeXML(line))
	}
	return b.String()
}

func textWidth(lines []string, size float64) (w float64) {
	for _, line := range lines {
		w = max(w, width(line)*size)
	}
	return w
}

func escapeXML(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(visible(text))) // a Builder has no errors
	return b.String()
}

// num writes a coordinate with at most one decimal.
func num(x float64) string {
	text := strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
	if text == "-0" {
		return "0"
	}
	return text
}
