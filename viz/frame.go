package viz

import (
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall/internal/layered"
)

// frame turns a layout, which runs from top to bottom, into the direction of the drawing.
type frame struct {
	graph     layered.Graph
	labels    [][]string // by edge
	direction Direction
}

func (f *frame) sideways() bool { return f.direction == LeftRight || f.direction == RightLeft }

// size turns a width and a height into those of the layout.
func (f *frame) size(w, h float64) (float64, float64) {
	if f.sideways() {
		return h, w
	}
	return w, h
}

// at turns a place in the layout into one in the drawing.
func (f *frame) at(p layered.Point) layered.Point {
	switch f.direction {
	case BottomUp:
		return layered.Point{X: p.X, Y: f.graph.H - p.Y}
	case LeftRight:
		return layered.Point{X: p.Y, Y: p.X}
	case RightLeft:
		return layered.Point{X: f.graph.H - p.Y, Y: p.X}
	default:
		return p
	}
}

func (f *frame) node(w, h float64) {
	w, h = f.size(w, h)
	f.graph.Nodes = append(f.graph.Nodes, layered.Node{W: w, H: h})
}

func (f *frame) edge(from, to int, label []string) {
	e := layered.Edge{From: from, To: to}
	if len(label) > 0 {
		e.W, e.H = f.size(textWidth(label, labelSize)+8, float64(len(label))*labelLine+4)
	}
	if n := &f.graph.Nodes[from]; from == to {
		n.Right = loopSize + e.W
		n.H = max(n.H, e.H)
	}
	f.graph.Edges = append(f.graph.Edges, e)
	f.labels = append(f.labels, label)
}

// drawEdge draws the line and the head of an edge.
func (f *frame) drawEdge(i int, class Class) string {
	e := f.graph.Edges[i]
	points := e.Points
	var before layered.Point // right before the tip
	var b strings.Builder
	write := func(command string, points ...layered.Point) {
		b.WriteString(command)
		for k, p := range points {
			if k > 0 {
				b.WriteByte(' ')
			}
			p = f.at(p)
			b.WriteString(num(p.X) + " " + num(p.Y))
		}
	}
	if e.From == e.To {
		n := f.graph.Nodes[e.From]
		x, y := n.X+n.W/2, min(10, n.H/2-8)
		points = []layered.Point{{X: x, Y: n.Y - y}, {X: x + loopSize, Y: n.Y - 2*y}, {X: x + loopSize, Y: n.Y + 2*y}, {X: x + 8, Y: n.Y + y}, {X: x, Y: n.Y + y}}
		write("M", points[0])
		write("C", points[1:4]...)
		before = layered.Point{X: x + 1, Y: n.Y + y}
	} else {
		tip, down := points[len(points)-1], 1.0
		if points[0].Y > tip.Y {
			down = -1
		}
		before = layered.Point{X: tip.X, Y: tip.Y - down}
		write("M", points[0])
		for k := 1; k < len(points); k++ {
			p := points[k]
			if k == len(points)-1 {
				p.Y -= 6 * down // so that the head is in front of the line
			}
			if q := points[k-1]; k%2 == 1 {
				write("L", p)
			} else {
				mid := (p.Y + q.Y) / 2
				write("C", layered.Point{X: q.X, Y: mid}, layered.Point{X: p.X, Y: mid}, p)
			}
		}
	}
	return fmt.Sprintf("<g class=\"lcv-edge%s\"><path d=\"%s\"/><path class=\"lcv-head\" d=\"%s\"/></g>\n", classOf(class), b.String(), head(f.at(before), f.at(points[len(points)-1])))
}

// head returns the path of an arrow's head, whose line comes from a point that is 1 away.
func head(before, tip layered.Point) string {
	dx, dy := tip.X-before.X, tip.Y-before.Y
	const long, wide = 9, 4.5
	return fmt.Sprintf("M%s %sL%s %sL%s %sZ", num(tip.X), num(tip.Y),
		num(tip.X-long*dx+wide*dy), num(tip.Y-long*dy+wide*dx), num(tip.X-long*dx-wide*dy), num(tip.Y-long*dy-wide*dx))
}

func (f *frame) drawLabel(i int) string {
	e, label := f.graph.Edges[i], f.labels[i]
	if len(label) == 0 {
		return ""
	}
	at := e.Label
	if n := f.graph.Nodes[e.From]; e.From == e.To {
		at = layered.Point{X: n.X + n.W/2 + loopSize - 4 + e.W/2, Y: n.Y}
	}
	w, h := f.size(e.W, e.H)
	at = f.at(at)
	return fmt.Sprintf("<rect class=\"lcv-gap\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"3\"/>\n", num(at.X-w/2), num(at.Y-h/2), num(w), num(h)) +
		text(label, at.X, at.Y-h/2+labelSize+2, labelSize, labelLine, "")
}
