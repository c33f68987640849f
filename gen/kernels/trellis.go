package main

import "github.com/gotrellis/trellis/asm"

// The trellis of CTC has at position i, which lies in some eight of positions, the states
// b[i], a blank, and l[i], label i. This file knows how rows of them lie in memory, as
// statesAt and factorsAt of generic_ctc.go do, and goes through their positions.

// trellisRow is an array with so many vectors of F64 for eight positions, and so with as
// many elements for one.
type trellisRow interface {
	vectors() int
	Rows(n asm.Int, elements int) asm.Distance
	Move(d asm.Distance)
	Advance(elements int)
}

// stateRow has a number for every state: eight blanks, their eight labels, the next eight
// blanks and so on.
type stateRow struct{ asm.Array }

func (stateRow) vectors() int        { return 2 }
func (s stateRow) blanks() asm.Array { return s.Vector(0) }
func (s stateRow) labels() asm.Array { return s.Vector(1) }

// factorRow has three numbers for every position, eight of each by turns: what b[i] gets
// from l[i−1] is multiplied by, what l[i] gets from b[i], and what l[i] gets from l[i−1].
type factorRow struct{ asm.Array }

func (factorRow) vectors() int                { return 3 }
func (f factorRow) blankFromLabel() asm.Array { return f.Vector(0) }
func (f factorRow) labelFromBlank() asm.Array { return f.Vector(1) }
func (f factorRow) labelFromLabel() asm.Array { return f.Vector(2) }

// wideRow has five numbers for every position, eight of each by turns: what b[i] gets from itself
// and from l[i−1] is multiplied by, and what l[i] gets from itself, from b[i] and from l[i−1].
type wideRow struct{ asm.Array }

func (wideRow) vectors() int                { return 5 }
func (f wideRow) blank() asm.Array          { return f.Vector(0) }
func (f wideRow) blankFromLabel() asm.Array { return f.Vector(1) }
func (f wideRow) label() asm.Array          { return f.Vector(2) }
func (f wideRow) labelFromBlank() asm.Array { return f.Vector(3) }
func (f wideRow) labelFromLabel() asm.Array { return f.Vector(4) }

// labelRow has a number for every label.
type labelRow struct{ asm.Array }

func (labelRow) vectors() int { return 1 }

// eight is how many positions are gone through at a time: the lanes of a vector.
const eight = 8

// upwards goes through so many positions, upwards. Rows are variables, which begin at position 0.
func upwards(k *builder, rows []trellisRow, body func()) {
	left := k.Copy(k.Arg("positions"))
	k.While(left.Greater(k.Int(0)), func() {
		body()
		for _, r := range rows {
			r.Advance(eight * r.vectors())
		}
		left.Dec(k.Int(eight))
	})
}

// downwards is upwards from the last to the first.
func downwards(k *builder, rows []trellisRow, body func()) {
	left := k.Copy(k.Arg("positions"))
	for _, r := range rows {
		r.Move(r.Rows(left, r.vectors()))
	}
	k.While(left.Greater(k.Int(0)), func() {
		for _, r := range rows {
			r.Advance(-eight * r.vectors())
		}
		body()
		left.Dec(k.Int(eight))
	})
}
