package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Sizes of the chart, in pixels. Its colours are readable on light and on dark pages.
const (
	chartWidth = 1000
	labelWidth = 470
	barHeight  = 18
	rowHeight  = 26
	margin     = 16
	plotWidth  = chartWidth - labelWidth - 110
)

const (
	oursColour, otherColour, floorColour = "#2f7d4f", "#8a8f98", "#c9a227"
	missColour, inkColour                = "#b3413a", "#777d86"
)

// bar is a row of the chart.
type bar struct {
	label, value, colour string
	length               float64 // of the plot's width, 0 to 1
}

// draw draws the figures: the lives of containers beside each other, and what was measured as a part of what is promised.
func draw(figures []figure) []byte {
	var b bytes.Buffer
	lives, parts := lifeBars(figures), promiseBars(figures)
	height := 3*margin + 2*rowHeight + (len(lives)+len(parts)+2)*rowHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n",
		chartWidth, height, chartWidth, height)
	y := margin
	if len(lives) > 0 {
		y = drawBars(&b, y, "A container that ends at once, whole life, median (less is better)", lives)
	}
	if len(parts) > 0 {
		top := y + margin + rowHeight
		y = drawBars(&b, y+margin, "Measured, as a part of what is promised (left of the line it holds)", parts)
		x := labelWidth + int(partLength(1)*plotWidth)
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="1.5"/>`+"\n", x, top-4, x, y-4, inkColour)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// drawBars draws a title and rows, and gives the place below.
func drawBars(b *bytes.Buffer, y int, title string, bars []bar) int {
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold" fill="%s">%s</text>`+"\n", margin, y+14, inkColour, escaped(title))
	y += rowHeight
	for _, r := range bars {
		width := max(r.length*plotWidth, 1)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="%s">%s</text>`, labelWidth-8, y+14, inkColour, escaped(r.label))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, labelWidth, y, width, barHeight, r.colour)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="%s">%s</text>`+"\n", labelWidth+width+6, y+14, inkColour, escaped(r.value))
		y += rowHeight
	}
	return y
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

// lifeBars are whole lives, in proportion to each other.
func lifeBars(figures []figure) []bar {
	var bars []bar
	most := 0.0
	var values []float64
	for _, f := range figures {
		name, ok := strings.CutPrefix(strings.TrimSuffix(f.Name, medianSuffix), "life")
		if !ok || !strings.HasSuffix(f.Name, medianSuffix) {
			continue
		}
		one := bar{label: strings.TrimPrefix(name, "/"), value: number(f.Value) + " " + f.Unit, colour: otherColour}
		switch one.label {
		case "":
			one.label, one.colour = "davit", oursColour
		case "floor":
			one.label, one.colour = "the floor: the system calls alone", floorColour
		}
		bars, values, most = append(bars, one), append(values, f.Value), max(most, f.Value)
	}
	for i := range bars {
		bars[i].length = values[i] / most
	}
	return bars
}

// promiseBars are figures as parts of their targets.
func promiseBars(figures []figure) []bar {
	var bars []bar
	for _, f := range figures {
		if f.verdict() == "" {
			continue
		}
		part := f.score() / f.Target
		if f.Least {
			part = 1 / part
		}
		colour := oursColour
		if f.verdict() != "holds" {
			colour = missColour
		}
		measured := number(f.score()) + " " + f.Unit
		if f.OfRatio {
			measured = number(f.Ratio) + " ×"
		}
		bars = append(bars, bar{label: f.Title, value: measured + " (" + f.promise() + ")", colour: colour, length: partLength(part)})
	}
	return bars
}

// partLength places a part on a scale of logarithms, from a thirtieth to ten times.
func partLength(part float64) float64 {
	const least, most = 1.0 / 30, 10
	part = min(max(part, least), most)
	return math.Log(part/least) / math.Log(most/least) * 0.8 // room for the words
}
