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

func (stateRow) vectors() int           { return 2 }
func (s stateRow) blanks() asm.Array    { return s.Vector(0) }
func (s stateRow) labels() asm.Array    { return s.Vector(1) }
func (s stateRow) eight(i int) stateRow { return stateRow{s.Vector(2 * i)} }

// factorRow has three numbers for every position, eight of each by turns: what b[i] gets
// from l[i−1] is multiplied by, what l[i] gets from b[i], and what l[i] gets from l[i−1].
type factorRow struct{ asm.Array }

func (factorRow) vectors() int                { return 3 }
func (f factorRow) blankFromLabel() asm.Array { return f.Vector(0) }
func (f factorRow) labelFromBlank() asm.Array { return f.Vector(1) }
func (f factorRow) labelFromLabel() asm.Array { return f.Vector(2) }
func (f factorRow) eight(i int) factorRow     { return factorRow{f.Vector(3 * i)} }

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

func (labelRow) vectors() int           { return 1 }
func (l labelRow) eight(i int) labelRow { return labelRow{l.Vector(i)} }

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

// tile is the most eights of positions whose states a kernel keeps in registers from frame to frame. An eight waits
// for itself in the frame before, 12 to 15 cycles, in which others are done.
type tile map[asm.Target]int

// upwards goes through so many positions in tiles, upwards. Rows are variables, which begin at position 0.
func (t tile) upwards(k *builder, rows []trellisRow, body func(eights int)) {
	t.each(k, func(eights int) {
		body(eights)
		for _, r := range rows {
			r.Advance(eights * eight * r.vectors())
		}
	})
}

// downwards is upwards from the last to the first.
func (t tile) downwards(k *builder, rows []trellisRow, body func(eights int)) {
	for _, r := range rows {
		r.Move(r.Rows(k.Arg("positions"), r.vectors()))
	}
	t.each(k, func(eights int) {
		for _, r := range rows {
			r.Advance(-eights * eight * r.vectors())
		}
		body(eights)
	})
}

// each calls body for tiles, of which only the last one may have less than the most eights.
func (t tile) each(k *builder, body func(eights int)) {
	left, most := k.Copy(k.Arg("positions")), t[k.Target()]
	k.While(left.AtLeast(k.Int(most*eight)), func() {
		body(most)
		left.Dec(k.Int(most * eight))
	})
	done := k.NewLabel("done")
	for eights := 1; eights < most; eights++ {
		k.If(left.Equal(k.Int(eights*eight)), func() {
			body(eights)
			k.Jump(done)
		})
	}
	k.Place(done)
}

// states are those of a tile, in registers.
type states struct{ b, l []asm.Vec }

// load reads them.
func (s stateRow) load(k *builder, eights int) (v states) {
	for i := range eights {
		at := s.eight(i)
		v.b, v.l = append(v.b, k.Var(at.blanks().Load())), append(v.l, k.Var(at.labels().Load()))
	}
	return v
}

// store writes them.
func (s stateRow) store(v states) {
	for i := range v.b {
		s.storeEight(i, v)
	}
}

// storeEight writes those of one eight.
func (s stateRow) storeEight(i int, v states) {
	at := s.eight(i)
	at.blanks().Store(v.b[i])
	at.labels().Store(v.l[i])
}
