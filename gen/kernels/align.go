package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// align has the kernels of the best path. Its rows of states are those of the trellis.
func align() []kernel { return []kernel{viterbi(), toBlocks(), emitBlock(), logs()} }

// viterbi does some frames of the best path. With b and l of the row before, the first of which
// is boundary, the emissions y[i] of the labels and blanks[k] of the blank, all logarithms,
//
//	b'[i] = max(b[i], l[i−1]) + blanks[k]
//	l'[i] = max(l[i], b[i], l[i−1] + skipExponents[i]) + y[i]
//
// where l[−1] of frame k is column[k], which then becomes l of the last position, in the same
// row. Rows of alpha may be the row before.
func viterbi() kernel {
	alpha, boundary, column, blanks := view("alpha", f64), slice("boundary", f64), slice("column", f64), slice("blanks", f64)
	y, skip, positions := slice("y", f64), slice("skipExponents", f64), integer("positions")
	return kernel{
		name:   "viterbi",
		params: []parameter{alpha, boundary, column, blanks, y, skip, positions},
		stub:   []parameter{alpha.data(), boundary, column, blanks, y, skip, alpha.stride(), positions},
		body: func(k *builder) {
			src, dst, column, blanks, y := k.Array("boundary"), k.Array("alpha"), k.Array("column"), k.Array("blanks"), k.Array("y")
			stride := int(k.get("pathStride"))
			repeat(k, k.Len("blanks"), 1, func() {
				blank, last := blanks.Broadcast(), k.Var(column.Broadcast())
				from, to, emission, skip := stateRow{src.Copy()}, stateRow{dst.Copy()}, labelRow{y.Copy()}, labelRow{k.Array("skipExponents")}
				upwards(k, []trellisRow{from, to, emission, skip}, func() {
					b, l := from.blanks().Load(), from.labels().Load()
					before := l.ShiftIn(last) // l[i−1]
					last.Set(l)
					to.blanks().Store(b.Max(before).Add(blank))
					stay := b.Max(last)
					to.labels().Store(before.Add(skip.Load()).Max(stay).Add(emission.Load()))
				})
				column.StoreLast(last)
				src.Set(dst)
				column.Advance(1)
				blanks.Advance(1)
				y.Advance(stride)
				dst.Move(dst.Elements(k.Arg("alphaStride")))
			})
		},
	}
}

// toBlocks writes, for 16 rows of x,
//
//	p[k·size + 8·c + r] = x[8·k + r][c]
//
// and returns 0, or NaN if a score is NaN or its size is not below largestScore. Squares are transposed as
// toColumns does; those of the last columns overlap the ones before.
func toBlocks() kernel {
	p, size, x := slice("p", f64), integer("size"), view("x", F)
	return kernel{
		name:    "toBlocks",
		params:  []parameter{p, size, x},
		stub:    []parameter{p, size, x.data(), x.columns(), x.stride()},
		results: []parameter{number("poison", F)},
		body: func(k *builder) {
			p, x, side, blocks := k.Array("p"), k.Array("x"), pieceOf(k.F), k.F.Lanes()/eight
			size, xRow, poison := p.Elements(k.Arg("size")), x.Elements(k.Arg("xStride")), k.Var(k.Const(k.F, 0))
			apart := xRow.Times(k.Int(side))
			repeat(k, k.Int(2), blocks, func() {
				from, to := x.Copy(), p.Copy()
				square := func() {
					for c, v := range columnsOf(from, xRow, apart, side) {
						if k.F == asm.F32 {
							poison.Set(v.Sub(v).Add(poison))
							lower, upper := v.Widen()
							to.From(eight * c).Store(lower)
							to.Plus(size).From(eight * c).Store(upper)
							continue
						}
						w := v.Mul(k.Const(k.F, k.get("aboveLargest")))
						poison.Set(w.Sub(w).Add(poison))
						to.From(eight * c).Store(v)
					}
				}
				left := k.Copy(k.Arg("xColumns").Minus(k.Int(side)))
				k.While(left.Greater(k.Int(0)), func() {
					square()
					from.Advance(side)
					to.Advance(side * eight)
					left.Dec(k.Int(side))
				})
				from.Move(from.Elements(left)) // left is negative or 0
				to.Move(to.Rows(left, eight))
				square()
				x.Move(xRow.Times(k.Int(k.F.Lanes())))
				p.Move(size)
			})
			k.Return("poison", poison.FoldAdd())
		},
	}
}

// emitBlock writes, for frameBlock rows r of y,
//
//	y[r][i] = p[frameBlock·places[i] + r]
//
// and the least of each row to least. A piece of 16 bytes has two frames of a position; those of eight
// positions, zipped, are two rows.
func emitBlock() kernel {
	y, p, places, least, scratch := view("y", f64), slice("p", f64), slice("places", i32), slice("least", f64), slice("scratch", f64)
	return kernel{
		name:   "emitBlock",
		params: []parameter{y, p, places, least, scratch},
		stub:   []parameter{y.data(), p, places, least, scratch, y.stride()},
		body: func(k *builder) {
			const pair = 2
			y, p, places := k.Array("y"), k.Base("p"), k.Array("places")
			var least [eight / pair]asm.Vec
			for i := range least {
				least[i] = k.Var(k.Const(asm.F64, math.Inf(1)))
			}
			repeat(k, k.Len("places"), eight, func() {
				var even, odd [eight / pair]asm.Distance
				for i := range even {
					even[i] = p.Rows(places.LoadInt(k.Int(pair*i)), eight)
					odd[i] = p.Rows(places.LoadInt(k.Int(pair*i+1)), eight)
				}
				row, stride := y.Copy(), y.Elements(k.Arg("yStride"))
				for frame := 0; frame < eight; frame += pair {
					v, w := p.From(frame).GatherPieces(even), p.From(frame).GatherPieces(odd)
					of := least[frame/pair]
					of.Set(v.Min(of))
					of.Set(w.Min(of))
					row.Store(v.ZipLower(w))
					row.Plus(stride).Store(v.ZipUpper(w))
					row.Move(stride.Twice())
				}
				y.Advance(eight)
				places.Advance(eight)
			})
			of := k.Base("scratch") // for two frames, of every fourth pair of positions, side by side
			for i, v := range least {
				of.Vector(i).Store(v)
			}
			all, vector := k.Const(asm.F64, math.Inf(1)), asm.Bytes(k.Copy(k.Int(eight*asm.F64.Size())))
			for i := range eight / pair {
				all = of.From(pair * i).LoadPieces(vector).Min(all)
			}
			k.Base("least").Store(all.Add(k.Const(asm.F64, 0)))
		},
	}
}

// logs writes dst[i] = ln x[i]. Numbers below the normal ones are made normal first; of 0 it is −Inf.
func logs() kernel {
	return kernel{
		name:   "logs",
		params: []parameter{slice("dst", f64), slice("x", f64)},
		body: func(k *builder) {
			dst, x, log := k.Array("dst"), k.Array("x"), newLogarithm(k)
			zero, negInf := k.Const(asm.F64, 0), k.Const(asm.F64, math.Inf(-1))
			least, scale, shift := k.Const(asm.F64, k.get("leastNormal")), k.Const(asm.F64, k.get("subnormalScale")), k.Const(asm.F64, k.get("subnormalShift"))
			k.Each(k.Len("dst"), arrays{dst, x}, func(l asm.Lanes) {
				v := l.Load(x)
				ln := log.of(v.Less(least).Select(v.Mul(scale), v), zero)
				v = l.Load(x) // again: a mask is a vector on AVX2, too many for its registers
				ln = ln.Sub(v.Less(least).Keep(shift))
				l.Store(dst, v.Equal(zero).Select(negInf, ln))
			})
		},
	}
}
