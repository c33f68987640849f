package main

import (
	"math"

	"github.com/gotrellis/trellis/asm"
)

// ctc has the kernels of the trellis. All but those that see scores or the gradient are
// float64 for both element types.
func ctc() []kernel {
	return []kernel{
		expFrames(), expWide(), widen(), narrow(), emit(), nearest(), normalizeRow(),
		forwardFactors(), leastFactors(), forward(), extent(), rescale(), dropUnreached(), backward(),
		wideFactors(), forwardWide(), backwardWide(), addOccupancies(), rowsOfSums(), writeGradients(), writeFewGradients(),
	}
}

// expFrames writes, for rows r of scores,
//
//	top[r]  = max(x[r][0], x[r][1], …)
//	ref[r]  = shift + log₂e·top[r], which has k = round(log₂e·top[r]) in its last bits
//	p[r][c] = exp(x[r][c])/2^k, or 0 where x[r][c] < top[r] − expReach
//	sum[r]  = Σ p[r][c]
//
// in four passes, as sumExpRows does.
func expFrames() kernel {
	p, top, ref, sum := view("p", F), slice("top", F), slice("ref", F), slice("sum", f64)
	scratch, x, rows := slice("scratch", F), view("x", F), integer("rows")
	return kernel{
		name:   "expFrames",
		params: []parameter{p, top, ref, sum, scratch, x, rows},
		stub:   []parameter{p.data(), top, ref, sum, scratch, x.data(), x.columns(), x.stride(), p.stride(), rows},
		body: func(k *builder) {
			negInf, zero := k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0)
			float := layoutOf(k.F)
			rowsBy := func(step int, body func()) { repeat(k, k.Arg("rows"), step, body) }
			nextRow := func(a asm.Array, stride string) { a.Move(a.Elements(k.Arg(stride))) }

			// The largest score of a row in lanes,
			x, scratch := k.Array("x"), k.Array("scratch")
			rowsBy(1, func() {
				most, at := k.Var(negInf), x.Copy()
				eachOverlapping(k, k.Arg("xColumns"), arrays{at}, func(l asm.Lanes) {
					most.Set(l.LoadOr(at, negInf).Max(most))
				})
				scratch.Store(most)
				advancePairs(scratch, 1)
				nextRow(x, "xStride")
			})

			// and in one;
			e := newExponential(k)
			scratch.Set(k.Base("scratch"))
			top, ref := k.Array("top"), k.Array("ref")
			rowsBy(4, func() {
				m := asm.FoldMax4(fourRows(scratch)).Add(zero)
				top.StoreFour(m)
				ref.StoreFour(m.MulAdd(e.log2e, e.shift))
				advancePairs(scratch, 4)
				top.Advance(4)
				ref.Advance(4)
			})

			// exp of a row, and its sum in lanes,
			x.Set(k.Base("x"))
			scratch.Set(k.Base("scratch"))
			top.Set(k.Base("top"))
			ref.Set(k.Base("ref"))
			p, reach := k.Array("p"), k.Const(k.F, k.get("expReach%d", float.bits))
			sums := func() asm.Array { return scratch.As(asm.F64).Vector(1) }
			rowsBy(1, func() {
				low := top.Broadcast().Sub(reach)
				shift := ref.Broadcast().As(k.F.Int()).Sub(k.Const(k.F.Int(), float.bias))
				sum, at, made := k.Var(k.Const(asm.F64, 0)), x.Copy(), p.Copy()
				k.Each(k.Arg("xColumns"), arrays{at}, func(l asm.Lanes) {
					x := l.LoadOr(at, negInf)
					q, z := e.reduced(x)
					power := z.As(k.F.Int()).Sub(shift).Shl(float.mantissa).As(k.F)
					v := x.NotLess(low).Keep(q.Mul(power))
					made.Store(v)
					made.Advance(k.F.Lanes())
					if k.F == asm.F32 {
						lower, upper := v.Widen()
						sum.Set(lower.Add(sum))
						v = upper
					}
					sum.Set(v.Add(sum))
				})
				sums().Store(sum)
				nextRow(x, "xStride")
				nextRow(p, "pStride")
				advancePairs(scratch, 1)
				top.Advance(1)
				ref.Advance(1)
			})

			// and in one.
			scratch.Set(k.Base("scratch"))
			sum := k.Array("sum")
			rowsBy(4, func() {
				sum.StoreFour(asm.FoldAdd4(fourRows(sums())))
				advancePairs(scratch, 4)
				sum.Advance(4)
			})
		},
	}
}

// expWide writes exp(x[i] − best) as v[i]·2^e[i], or 0 and 0 where it is not above exp(MinScore). What
// rounding takes from the difference, err, goes into the argument of the polynomial:
//
//	n = round((x − best)·log₂e)
//	r = ((x − best) − n·ln2Hi) + (err − n·ln2Lo)
func expWide() kernel {
	return kernel{
		name:   "expWide",
		params: []parameter{slice("v", f64), slice("e", f64), slice("x", f64), number("best", f64)},
		body: func(k *builder) {
			exp, best, least := newExponential(k), k.Param("best"), k.Const(asm.F64, k.get("MinScore"))
			v, e, x := k.Array("v"), k.Array("e"), k.Array("x")
			k.Each(k.Len("x"), arrays{v, e, x}, func(l asm.Lanes) {
				score := l.Load(x)
				d := score.Sub(best)
				part := d.Sub(score)
				err := score.Sub(d.Sub(part)).Sub(best.Add(part))
				n := d.MulAdd(exp.log2e, exp.shift).Sub(exp.shift)
				r := n.NegMulAdd(exp.ln2Hi, d).Add(n.NegMulAdd(exp.ln2Lo, err))
				some := least.Less(d)
				l.Store(v, some.Keep(exp.polynomial(r)))
				l.Store(e, some.Keep(n))
			})
		},
	}
}

// widen writes dst[r][c] = x[r][c], for rows r of whole vectors of dst, 0 beyond those of x.
func widen() kernel {
	dst, x, rows := view("dst", f64), view("x", F), integer("rows")
	return kernel{
		name:   "widen",
		params: []parameter{dst, x, rows},
		stub:   []parameter{dst.data(), dst.stride(), x.data(), x.columns(), x.stride(), rows},
		body: func(k *builder) {
			dst, x := k.Array("dst"), k.Array("x")
			repeat(k, k.Arg("rows"), 1, func() {
				to, at := dst.Copy(), x.Copy()
				k.Each(k.Arg("xColumns"), arrays{at}, func(l asm.Lanes) {
					storeF64(to, l.Load(at))
					to.Advance(k.F.Lanes())
				})
				x.Move(x.Elements(k.Arg("xStride")))
				dst.Move(dst.Elements(k.Arg("dstStride")))
			})
		},
	}
}

// narrow writes dst[r][c] = x[r][c], rounded, or 0 where that is below leastNarrow, for rows r of whole
// vectors of dst.
func narrow() kernel {
	dst, x, rows := view("dst", F), view("x", f64), integer("rows")
	return kernel{
		name:   "narrow",
		params: []parameter{dst, x, rows},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), x.data(), x.stride(), rows},
		body: func(k *builder) {
			dst, x, least := k.Array("dst"), k.Array("x"), k.Const(asm.F64, k.get("leastNarrow"))
			repeat(k, k.Arg("rows"), 1, func() {
				to, at, left := dst.Copy(), x.Copy(), k.Copy(k.Arg("dstColumns"))
				k.While(left.Greater(k.Int(0)), func() {
					next := func() asm.Vec {
						v := at.Load()
						at.Advance(asm.F64.Lanes())
						return v.NotLess(least).Keep(v)
					}
					v := next()
					if k.F == asm.F32 {
						v = v.Narrow(next())
					}
					to.Store(v)
					to.Advance(k.F.Lanes())
					left.Dec(k.Int(k.F.Lanes()))
				})
				x.Move(x.Elements(k.Arg("xStride")))
				dst.Move(dst.Elements(k.Arg("dstStride")))
			})
		},
	}
}

// emit writes, for rows r,
//
//	y[r][i] = p[r][index[i]]
//
// and the least of each row to leasts, and returns 0, or NaN if one is not finite. It looks few classes up in
// registers, where a target has instructions for that.
func emit() kernel {
	y, p, index, leasts := view("y", f64), view("p", F), slice("index", i32), slice("leasts", f64)
	return kernel{
		name:    "emit",
		params:  []parameter{y, p, index, leasts},
		stub:    []parameter{y.data(), p.data(), index, leasts, y.stride(), p.stride()},
		results: []parameter{number("poison", F)},
		body: func(k *builder) {
			y, p, leasts, zero := k.Array("y"), k.Array("p"), k.Array("leasts"), k.Const(k.F, 0)
			poison := k.Var(zero)
			lookUp := func(gather func(index asm.Array) asm.Vec) {
				repeat(k, k.Len("leasts"), 1, func() {
					index, to, left, least := k.Array("index"), y.Copy(), k.Copy(k.Len("index")), k.Var(k.Const(k.F, math.Inf(1)))
					k.While(left.Greater(k.Int(0)), func() {
						v := gather(index)
						least.Set(v.Min(least))
						poison.Set(v.Sub(v).Add(poison))
						storeF64(to, v)
						to.Advance(k.F.Lanes())
						index.Advance(k.F.Lanes())
						left.Dec(k.Int(k.F.Lanes()))
					})
					l := least.FoldMin().Add(zero)
					if k.F == asm.F32 {
						l, _ = l.Widen()
					}
					leasts.StoreFirst(l)
					leasts.Advance(1)
					y.Move(y.Elements(k.Arg("yStride")))
					p.Move(p.Elements(k.Arg("pStride")))
				})
			}
			done := k.NewLabel("done")
			for vectors := 1; vectors <= k.TableVectors() && k.F == asm.F32; vectors++ {
				k.If(k.Arg("pStride").Equal(k.Int(vectors*k.F.Lanes())), func() {
					lookUp(func(index asm.Array) asm.Vec { return p.GatherTable(vectors, index.Load()) })
					k.Jump(done)
				})
			}
			lookUp(p.GatherBy)
			k.Place(done)
			k.Return("poison", poison.FoldAdd())
		},
	}
}

// nearest returns the largest of the elements below bound, at least leastNear, or −Inf if there is none, and
// the least of the others, or +Inf.
func nearest() kernel {
	return kernel{
		name:    "nearest",
		params:  []parameter{slice("x", F), number("bound", F)},
		results: []parameter{number("below", F), number("above", F)},
		body: func(k *builder) {
			inf, negInf, zero := k.Const(k.F, math.Inf(1)), k.Const(k.F, math.Inf(-1)), k.Const(k.F, 0)
			x, bound, floor := k.Array("x"), k.Param("bound"), k.Const(k.F, k.get("leastNear"))
			below, above := k.Var(negInf), k.Var(inf)
			k.Each(k.Len("x"), arrays{x}, func(l asm.Lanes) {
				v := l.LoadOr(x, inf)
				isBelow := v.Less(bound)
				below.Set(isBelow.Select(v.Max(floor), negInf).Max(below))
				above.Set(isBelow.Select(inf, v).Min(above))
			})
			k.Return("below", below.FoldMax().Add(zero))
			k.Return("above", above.FoldMin().Add(zero))
		},
	}
}

// storeF64 writes the lanes of v as F64.
func storeF64(to asm.Array, v asm.Vec) {
	if v.Type() == asm.F64 {
		to.Store(v)
		return
	}
	lower, upper := v.Widen()
	to.Store(lower)
	to.Vector(1).Store(upper)
}

// normalizeRow takes powers of two out of a row of states. Where src[i] = m·2ⁿ with m in
// [1, 2),
//
//	dst[i]        = m
//	exponents[i] += n
//
// and where src[i] = 0 so is dst[i], and it counts in zeros.
func normalizeRow() kernel {
	return kernel{
		name:    "normalizeRow",
		params:  []parameter{slice("dst", f64), slice("src", f64), slice("exponents", f64)},
		results: []parameter{number("zeros", f64)},
		body: func(k *builder) {
			zero, one := k.Const(asm.F64, 0), k.Const(asm.F64, 1)
			mantissa, power := k.Bits(asm.I64, 1<<52-1), k.Const(asm.F64, 0x1p52).As(asm.I64)
			zeros, bias := k.Var(zero), k.Const(asm.F64, 0x1p52+1023)
			dst, src, exponents := k.Array("dst"), k.Array("src"), k.Array("exponents")
			k.Each(k.Len("src"), arrays{dst, src, exponents}, func(l asm.Lanes) {
				v := l.Load(src)
				some, bits := v.NotEqual(zero), v.As(asm.I64)
				n := bits.Shr(52).Or(power).As(asm.F64).Sub(bias) // the last bits of 2⁵² count by ones
				l.Store(exponents, some.Keep(n).Add(l.Load(exponents)))
				l.Store(dst, some.Keep(bits.And(mantissa).Or(one.As(asm.I64)).As(asm.F64)))
				zeros.AddWhere(some.Not(), one)
			})
			k.Return("zeros", zeros.FoldAdd())
		},
	}
}

// powers makes factors of differences of exponents.
type powers struct {
	min, max, bias, largest asm.Vec
}

func newPowers(k *builder) powers {
	const t = asm.F64
	return powers{k.Const(t, k.get("minFactor")), k.Const(t, k.get("maxFactor")), k.Const(t, 0x1p52+1023), k.Var(k.Const(t, 0))}
}

// of returns 2ⁿ for integers n: at most 2^maxFactor, and 0 from minFactor down.
func (p *powers) of(n asm.Vec) asm.Vec {
	return n.Max(p.min).Min(p.max).Add(p.bias).As(asm.I64).Shl(52).As(asm.F64)
}

// upToOne is of, for n that are not above 0.
func (p *powers) upToOne(n asm.Vec) asm.Vec {
	return n.Max(p.min).Add(p.bias).As(asm.I64).Shl(52).As(asm.F64)
}

// noted is of, and notes the largest result.
func (p *powers) noted(n asm.Vec) asm.Vec {
	f := p.of(n)
	p.largest.Set(f.Max(p.largest))
	return f
}

// forwardFactors writes, with the exponents b[i] and l[i] of the states of position i,
//
//	blankFromLabel[i] = 2^(l[i−1] − b[i])
//	labelFromBlank[i] = 2^(b[i] − l[i])
//	labelFromLabel[i] = 2^(l[i−1] − l[i] + skipExponents[i])
//
// where l[−1] = before, and returns the largest of them.
func forwardFactors() kernel {
	return kernel{
		name: "forwardFactors",
		params: []parameter{slice("factors", f64), slice("exponents", f64), slice("skipExponents", f64),
			number("before", f64), integer("positions")},
		results: []parameter{number("largest", f64)},
		body: func(k *builder) {
			p := newPowers(k)
			factors, exponents, skip := factorRow{k.Array("factors")}, stateRow{k.Array("exponents")}, labelRow{k.Array("skipExponents")}
			last := k.Var(k.Param("before"))
			upwards(k, []trellisRow{exponents, skip, factors}, func() {
				b, l := exponents.blanks().Load(), exponents.labels().Load()
				before := l.ShiftIn(last) // l[i−1]
				last.Set(l)
				factors.blankFromLabel().Store(p.noted(before.Sub(b)))
				factors.labelFromBlank().Store(p.noted(b.Sub(last)))
				factors.labelFromLabel().Store(p.noted(before.Sub(last).Add(skip.Load())))
			})
			k.Return("largest", p.largest.FoldMax())
		},
	}
}

// leastFactors returns the least of l[i−1] − b[i] and of b[i] − l[i], or 0, leaving out those below leastExponent.
func leastFactors() kernel {
	return kernel{
		name:    "leastFactors",
		params:  []parameter{slice("exponents", f64), number("before", f64), integer("positions")},
		results: []parameter{number("toBlank", f64), number("toLabel", f64)},
		body: func(k *builder) {
			zero, least, exponents := k.Const(asm.F64, 0), k.Const(asm.F64, k.get("leastExponent")), stateRow{k.Array("exponents")}
			toBlank, toLabel, last := k.Var(zero), k.Var(zero), k.Var(k.Param("before"))
			upwards(k, []trellisRow{exponents}, func() {
				b, l := exponents.blanks().Load(), exponents.labels().Load()
				d := l.ShiftIn(last).Sub(b)
				last.Set(l)
				toBlank.Set(d.NotLess(least).Keep(d).Min(toBlank))
				d = b.Sub(last)
				toLabel.Set(d.NotLess(least).Keep(d).Min(toLabel))
			})
			k.Return("toBlank", toBlank.FoldMin().Add(zero))
			k.Return("toLabel", toLabel.FoldMin().Add(zero))
		},
	}
}

// forward does some frames of α. With b and l of the row before, the first of which is
// boundary, the emissions y[i] of the labels and y(blank), which is the last column of y,
//
//	b'[i] = (l[i−1]·blankFromLabel[i] + b[i])·y(blank)
//	l'[i] = (l[i−1]·labelFromLabel[i] + (b[i]·labelFromBlank[i] + l[i]))·y[i]
//
// where every sum is rounded once and l[−1] of frame k is column[k], which becomes l of the last position in the
// row before frame k. With a stride of 0 all frames have one row of alpha. The states of a tile stay in registers from
// frame to frame.
func forward() kernel {
	alpha, boundary, column, y, factors := view("alpha", f64), slice("boundary", f64), slice("column", f64), view("y", f64), slice("factors", f64)
	positions, frames := integer("positions"), integer("frames")
	return kernel{
		name:   "forward",
		params: []parameter{alpha, boundary, column, y, factors, positions, frames},
		stub:   []parameter{alpha.data(), boundary, column, y.data(), factors, alpha.stride(), y.stride(), y.lastColumn(), positions, frames},
		body: func(k *builder) {
			from, to, y, factors := stateRow{k.Array("boundary")}, stateRow{k.Array("alpha")}, labelRow{k.Array("y")}, factorRow{k.Array("factors")}
			tile{asm.AVX512: 8, asm.AVX2: 3, asm.NEON: 2}.upwards(k, []trellisRow{from, to, y, factors}, func(eights int) {
				s, row, emission, blank, column := from.load(k, eights), stateRow{to.Copy()}, labelRow{y.Copy()}, k.Array("y"), k.Array("column")
				blank.Move(blank.Elements(k.Arg("yLastColumn")))
				repeat(k, k.Arg("frames"), 1, func() {
					yBlank, edge := blank.Broadcast(), column.Broadcast()
					column.StoreLast(s.l[eights-1])
					for i := eights - 1; i >= 0; i-- {
						f, b, l, below := factors.eight(i), s.b[i], s.l[i], edge
						if i > 0 {
							below = s.l[i-1]
						}
						before := l.ShiftIn(below) // l[i−1]
						l.Set(b.MulAdd(f.labelFromBlank().Load(), l))
						b.Set(before.MulAdd(f.blankFromLabel().Load(), b))
						l.Set(before.MulAdd(f.labelFromLabel().Load(), l))
						b.Set(b.Mul(yBlank))
						l.Set(l.Mul(emission.eight(i).Load()))
						row.storeEight(i, s)
					}
					column.Advance(1)
					yRow := y.Elements(k.Arg("yStride"))
					blank.Move(yRow)
					emission.Move(yRow)
					row.Move(row.Elements(k.Arg("alphaStride")))
				})
			})
		},
	}
}

// extent returns the least number that is not 0, or +Inf, and the largest one.
func extent() kernel {
	return kernel{
		name:    "extent",
		params:  []parameter{slice("row", f64)},
		results: []parameter{number("least", f64), number("largest", f64)},
		body: func(k *builder) {
			zero, inf, row := k.Const(asm.F64, 0), k.Const(asm.F64, math.Inf(1)), k.Array("row")
			least, largest := k.Var(inf), k.Var(zero)
			k.Each(k.Len("row"), arrays{row}, func(l asm.Lanes) {
				v := l.Load(row)
				largest.Set(v.Max(largest))
				least.Set(v.Add(v.Equal(zero).Keep(inf)).Min(least))
			})
			k.Return("least", least.FoldMin())
			k.Return("largest", largest.FoldMax())
		},
	}
}

// rescale does, for the states of a row,
//
//	beta[i] = beta[i]·2^(to[i] − from[i])
//
// or 0 where alpha[i] is 0 or beta[i] below leastOccupancy.
func rescale() kernel {
	return kernel{
		name:   "rescale",
		params: []parameter{slice("beta", f64), slice("alpha", f64), slice("from", f64), slice("to", f64)},
		body: func(k *builder) {
			zero, least, p := k.Const(asm.F64, 0), k.Const(asm.F64, k.get("leastOccupancy")), newPowers(k)
			beta, alpha, from, to := k.Array("beta"), k.Array("alpha"), k.Array("from"), k.Array("to")
			k.Each(k.Len("alpha"), arrays{beta, alpha, from, to}, func(l asm.Lanes) {
				v := l.Load(beta)
				some := l.Load(alpha).NotEqual(zero).And(v.NotLess(least))
				l.Store(beta, some.Keep(v.Mul(p.of(l.Load(to).Sub(l.Load(from))))))
			})
		},
	}
}

// dropUnreached writes 0 to beta[i] where alpha[i] is 0.
func dropUnreached() kernel {
	return kernel{
		name:   "dropUnreached",
		params: []parameter{slice("beta", f64), slice("alpha", f64)},
		body: func(k *builder) {
			zero, beta, alpha := k.Const(asm.F64, 0), k.Array("beta"), k.Array("alpha")
			k.Each(k.Len("alpha"), arrays{beta, alpha}, func(l asm.Lanes) {
				l.Store(beta, l.Load(alpha).NotEqual(zero).Keep(l.Load(beta)))
			})
		},
	}
}

// backward does some frames of β, from the last to the first, and of the occupancies. With
// b and l of β in frame t, and their products with the emissions b' = b·y(blank) and
// l' = l·y[i],
//
//	blanks[t]       = Σ α(b[i])·b[i]
//	occupancy[t][i] = α(l[i])·l[i]
//	here[i]         = l'[i]·labelFromLabel[i] + b'[i]·blankFromLabel[i]
//
//	b(t−1)[i] = l'[i]·labelFromBlank[i] + b'[i]
//	l(t−1)[i] = l'[i] + here[i+1]
//
// where here[i] is what position i gives to the label before it. For each frame column has that of the
// position behind the last one, and gets that of the first one. sums has room for a vector for each frame.
func backward() kernel {
	occupancy, blanks, beta, column := view("occupancy", f64), slice("blanks", f64), slice("beta", f64), slice("column", f64)
	alpha, y, factors, sums, positions := slice("alpha", f64), view("y", f64), slice("factors", f64), slice("sums", f64), integer("positions")
	return kernel{
		name:   "backward",
		params: []parameter{occupancy, blanks, beta, column, alpha, y, factors, sums, positions},
		stub: []parameter{occupancy.data(), blanks, beta, column, alpha, y.data(), factors, sums,
			occupancy.stride(), y.stride(), y.lastColumn(), positions, blanks.length()},
		body: func(k *builder) {
			sums, blanks, count := k.Array("sums"), k.Array("blanks"), func() asm.Int { return k.Arg("blanksLength") }
			repeat(k, count(), 1, func() {
				sums.Store(k.Const(asm.F64, 0))
				sums.Advance(eight)
			})

			beta, y, factors, blank := stateRow{k.Array("beta")}, labelRow{k.Array("y")}, factorRow{k.Array("factors")}, k.Array("y")
			alpha, to := stateRow{k.Array("alpha")}, labelRow{k.Array("occupancy")}
			toEnd := func() { // behind the last frame
				behind := y.Elements(k.Arg("yStride")).Times(count())
				y.Move(behind)
				blank.Move(behind)
				alpha.Move(behind.Twice())
				to.Move(to.Elements(k.Arg("occupancyStride")).Times(count()))
			}
			blank.Move(blank.Elements(k.Arg("yLastColumn")))
			toEnd()
			tile{asm.AVX512: 8, asm.AVX2: 2, asm.NEON: 2}.downwards(k, []trellisRow{beta, y, factors, alpha, to}, func(eights int) {
				s, column, left := beta.load(k, eights), k.Array("column"), k.Copy(count())
				column.Move(column.Elements(left))
				sums.Set(k.Base("sums"))
				sums.Move(sums.Rows(left, eight))
				k.While(left.Greater(k.Int(0)), func() {
					yRow := y.Elements(k.Arg("yStride"))
					y.MoveBack(yRow)
					blank.MoveBack(yRow)
					alpha.MoveBack(yRow.Twice())
					to.MoveBack(to.Elements(k.Arg("occupancyStride")))
					column.Advance(-1)
					sums.Advance(-eight)
					sum := k.Var(sums.Load())
					for i := eights - 1; i >= 0; i-- {
						sum.Set(s.b[i].MulAdd(alpha.eight(i).blanks().Load(), sum))
					}
					sums.Store(sum)
					yBlank, down := blank.Broadcast(), column.Broadcast()
					for i := eights - 1; i >= 0; i-- {
						f, b, l := factors.eight(i), s.b[i], s.l[i]
						to.eight(i).Store(l.Mul(alpha.eight(i).labels().Load()))
						b.Set(b.Mul(yBlank))
						l.Set(l.Mul(y.eight(i).Load()))
						here := k.Var(b.Mul(f.blankFromLabel().Load()))
						here.Set(l.MulAdd(f.labelFromLabel().Load(), here))
						b.Set(l.MulAdd(f.labelFromBlank().Load(), b))
						l.Set(l.Add(here.ShiftOut(down)))
						down = here
					}
					column.StoreFirst(down)
					left.Dec(k.Int(1))
				})
				beta.store(s)
				toEnd()
			})

			sums.Set(k.Base("sums"))
			repeat(k, count(), 1, func() {
				blanks.StoreFirst(sums.Load().FoldAdd())
				sums.Advance(eight)
				blanks.Advance(1)
			})
		},
	}
}

// wideFactors writes, with the exponents b[i] and l[i] of the states of position i in the frame
// before, the largest exponent that a state comes from,
//
//	m(b[i]) = max(b[i], l[i−1])
//	m(l[i]) = max(l[i], b[i], l[i−1] + skipExponents[i])
//
// plus the emission's to next, and 2 to the exponents of all that it comes from, less m, to factors.
// l[−1] is before.
func wideFactors() kernel {
	return kernel{
		name: "wideFactors",
		params: []parameter{slice("factors", f64), slice("next", f64), slice("exponents", f64), slice("emissions", f64),
			slice("skipExponents", f64), number("before", f64), number("blank", f64), integer("positions")},
		body: func(k *builder) {
			p, blank, last := newPowers(k), k.Param("blank"), k.Var(k.Param("before"))
			factors, next, exponents := wideRow{k.Array("factors")}, stateRow{k.Array("next")}, stateRow{k.Array("exponents")}
			emissions, skip := labelRow{k.Array("emissions")}, labelRow{k.Array("skipExponents")}
			upwards(k, []trellisRow{exponents, next, emissions, skip, factors}, func() {
				b, l := exponents.blanks().Load(), exponents.labels().Load()
				before := l.ShiftIn(last) // l[i−1]
				last.Set(l)
				m := b.Max(before)
				next.blanks().Store(m.Add(blank))
				factors.blank().Store(p.upToOne(b.Sub(m)))
				factors.blankFromLabel().Store(p.upToOne(before.Sub(m)))
				skipped := before.Add(skip.Load())
				m = last.Max(b).Max(skipped)
				next.labels().Store(m.Add(emissions.Load()))
				factors.label().Store(p.upToOne(last.Sub(m)))
				factors.labelFromBlank().Store(p.upToOne(b.Sub(m)))
				factors.labelFromLabel().Store(p.upToOne(skipped.Sub(m)))
			})
		},
	}
}

// forwardWide does a wide frame of α. With b and l of boundary, the row before, l[−1] = before and the
// emissions y[i] of the labels and blank,
//
//	b'[i] = (l[i−1]·blankFromLabel[i] + b[i]·blank[i])·y(blank)
//	l'[i] = (l[i−1]·labelFromLabel[i] + (b[i]·labelFromBlank[i] + l[i]·label[i]))·y[i]
func forwardWide() kernel {
	return kernel{
		name: "forwardWide",
		params: []parameter{slice("alpha", f64), slice("boundary", f64), slice("y", f64), slice("factors", f64),
			number("before", f64), number("blank", f64), integer("positions")},
		body: func(k *builder) {
			from, to := stateRow{k.Array("boundary")}, stateRow{k.Array("alpha")}
			emission, factors := labelRow{k.Array("y")}, wideRow{k.Array("factors")}
			blank, last := k.Param("blank"), k.Var(k.Param("before"))
			upwards(k, []trellisRow{from, to, emission, factors}, func() {
				b, l := from.blanks().Load(), from.labels().Load()
				before := l.ShiftIn(last) // l[i−1]
				last.Set(l)
				stay := b.Mul(factors.blank().Load())
				to.blanks().Store(before.MulAdd(factors.blankFromLabel().Load(), stay).Mul(blank))
				stay = b.MulAdd(factors.labelFromBlank().Load(), last.Mul(factors.label().Load()))
				to.labels().Store(before.MulAdd(factors.labelFromLabel().Load(), stay).Mul(emission.Load()))
			})
		},
	}
}

// backwardWide does a wide frame of β, as backward does others, but that b[i] has the factor blank[i]
// into b(t−1)[i] and l[i] the factor label[i] into l(t−1)[i]. after is here[i] of the position behind
// the last one, and down that of the first one.
func backwardWide() kernel {
	return kernel{
		name: "backwardWide",
		params: []parameter{slice("occupancy", f64), slice("beta", f64), slice("alpha", f64), slice("y", f64), slice("factors", f64),
			number("after", f64), number("blank", f64), integer("positions")},
		results: []parameter{number("blanks", f64), number("down", f64)},
		body: func(k *builder) {
			beta, alpha, emission, to := stateRow{k.Array("beta")}, stateRow{k.Array("alpha")}, labelRow{k.Array("y")}, labelRow{k.Array("occupancy")}
			factors, sum, down, blank := wideRow{k.Array("factors")}, k.Var(k.Const(asm.F64, 0)), k.Var(k.Param("after")), k.Param("blank")
			downwards(k, []trellisRow{beta, alpha, emission, to, factors}, func() {
				b, l := beta.blanks().Load(), beta.labels().Load()
				sum.Set(alpha.blanks().Load().MulAdd(b, sum))
				to.Store(alpha.labels().Load().Mul(l))
				b, l = b.Mul(blank), l.Mul(emission.Load())
				beta.blanks().Store(l.MulAdd(factors.labelFromBlank().Load(), b.Mul(factors.blank().Load())))
				here := l.MulAdd(factors.labelFromLabel().Load(), b.Mul(factors.blankFromLabel().Load()))
				beta.labels().Store(l.Mul(factors.label().Load()).Add(here.ShiftOut(down)))
				down.Set(here)
			})
			k.Return("blanks", sum.FoldAdd())
			k.Return("down", down)
		},
	}
}

// addOccupancies adds occupancies up by class,
//
//	sums[r/8][8·c + r%8] += Σ occupancy[r][i] over all i of class c
//
// eight rows at a time, which are transposed for that.
func addOccupancies() kernel {
	sums, occupancy, offsets, rows := view("sums", f64), view("occupancy", f64), slice("offsets", i32), integer("rows")
	return kernel{
		name:   "addOccupancies",
		params: []parameter{sums, occupancy, offsets, rows},
		stub:   []parameter{sums.data(), occupancy.data(), offsets, sums.stride(), occupancy.columns(), occupancy.stride(), rows},
		body: func(k *builder) {
			sums, occupancy, side := k.Array("sums"), k.Array("occupancy"), pieceOf(asm.F64)
			stride := occupancy.Elements(k.Arg("occupancyStride"))
			apart := stride.Times(k.Int(side))
			repeat(k, k.Arg("rows"), eight, func() {
				from, offsets := occupancy.Copy(), k.Array("offsets")
				repeat(k, k.Arg("occupancyColumns"), eight, func() {
					for i := 0; i < eight; i += side {
						for j, v := range columnsOf(from.From(i), stride, apart, side) {
							to := sums.Plus(asm.Bytes(offsets.LoadInt(k.Int(i + j))))
							to.Store(v.Add(to.Load()))
						}
					}
					from.Advance(eight)
					offsets.Advance(eight)
				})
				occupancy.Move(stride.Times(k.Int(eight)))
				sums.Move(sums.Elements(k.Arg("sumsStride")))
			})
		},
	}
}

// rowsOfSums writes rows of the sums that addOccupancies makes, of a multiple of 8 columns,
//
//	dst[r][c] = sums[r/8][8·c + r%8]
//
// rounded.
func rowsOfSums() kernel {
	dst, sums, rows := view("dst", F), view("sums", f64), integer("rows")
	return kernel{
		name:   "rowsOfSums",
		params: []parameter{dst, sums, rows},
		stub:   []parameter{dst.data(), dst.columns(), dst.stride(), sums.data(), sums.stride(), rows},
		body: func(k *builder) {
			dst, sums, side := k.Array("dst"), k.Array("sums"), pieceOf(k.F)
			dstRow, lanes := dst.Elements(k.Arg("dstStride")), k.F.Lanes()
			repeat(k, k.Arg("rows"), eight, func() {
				from, to := sums.Copy(), dst.Copy()
				perStep := side * lanes / eight
				repeat(k, k.Arg("dstColumns"), perStep, func() {
					var columns []asm.Vec
					for i := range side {
						v := from.Vector(i).Load()
						if k.F == asm.F32 { // of two columns
							v = v.Narrow(from.Vector(side + i).Load())
						}
						columns = append(columns, v)
					}
					squares, row := transposed(columns), to.Copy()
					for piece := range eight / side {
						for _, v := range squares {
							for i := 0; i < perStep; i += side {
								row.From(i).StorePiece(v, piece+i/side*eight/side)
							}
							row.Move(dstRow)
						}
					}
					from.Advance(eight * perStep)
					to.Advance(perStep)
				})
				sums.Move(sums.Elements(k.Arg("sumsStride")))
				dst.Move(dstRow.Times(k.Int(eight)))
			})
		},
	}
}

// writeGradients writes rows of the gradient,
//
//	dst[r][c] = p[r][c]·softmax[r] − scale·sums[r][c]
func writeGradients() kernel {
	dst, p, softmax, scale, sums := view("dst", F), view("p", F), slice("softmax", F), number("scale", F), view("sums", F)
	return kernel{
		name:   "writeGradients",
		params: []parameter{dst, p, softmax, scale, sums},
		stub: []parameter{dst.data(), p.data(), softmax, scale, sums.data(),
			dst.columns(), dst.stride(), p.stride(), sums.stride(), softmax.length()},
		body: func(k *builder) {
			dst, p, softmax, scale, sums := k.Array("dst"), k.Array("p"), k.Array("softmax"), k.Param("scale"), k.Array("sums")
			repeat(k, k.Arg("softmaxLength"), 1, func() {
				factor, to, terms, o := softmax.Broadcast(), dst.Copy(), p.Copy(), sums.Copy()
				eachOverlapping(k, k.Arg("dstColumns"), arrays{to, terms, o}, func(l asm.Lanes) {
					l.Store(to, o.Load().NegMulAdd(scale, terms.Load().Mul(factor)))
				})
				dst.Move(dst.Elements(k.Arg("dstStride")))
				p.Move(p.Elements(k.Arg("pStride")))
				sums.Move(sums.Elements(k.Arg("sumsStride")))
				softmax.Advance(1)
			})
		},
	}
}

// writeFewGradients is writeGradients where sums are those of some classes: the j-th of classes[j].
//
//	dst[r][c]          = p[r][c]·softmax[r] + 0
//	dst[r][classes[j]] = dst[r][classes[j]] − scale·sums[r][j]
func writeFewGradients() kernel {
	dst, p, softmax, scale := view("dst", F), view("p", F), slice("softmax", F), number("scale", F)
	sums, classes := view("sums", F), slice("classes", i32)
	return kernel{
		name:   "writeFewGradients",
		params: []parameter{dst, p, softmax, scale, sums, classes},
		stub: []parameter{dst.data(), p.data(), softmax, scale, sums.data(), classes,
			dst.columns(), dst.stride(), p.stride(), sums.stride(), softmax.length(), classes.length()},
		body: func(k *builder) {
			zero := k.Const(k.F, 0)
			dst, p, softmax, scale, sums := k.Array("dst"), k.Array("p"), k.Array("softmax"), k.Param("scale"), k.Array("sums")
			repeat(k, k.Arg("softmaxLength"), 1, func() {
				factor, to, terms := softmax.Broadcast(), dst.Copy(), p.Copy()
				eachOverlapping(k, k.Arg("dstColumns"), arrays{to, terms}, func(l asm.Lanes) {
					l.Store(to, terms.Load().MulAdd(factor, zero))
				})
				class, o := k.Array("classes"), sums.Copy()
				repeat(k, k.Arg("classesLength"), 1, func() {
					at := dst.Plus(dst.Elements(class.LoadInt(k.Int(0))))
					at.StoreFirst(o.Broadcast().NegMulAdd(scale, at.Broadcast()))
					class.Advance(1)
					o.Advance(1)
				})
				dst.Move(dst.Elements(k.Arg("dstStride")))
				p.Move(p.Elements(k.Arg("pStride")))
				sums.Move(sums.Elements(k.Arg("sumsStride")))
				softmax.Advance(1)
			})
		},
	}
}

// eachOverlapping is Each for what may be done twice: where there is at least one vector,
// the last one goes back instead of being cut, which is slow on AVX2.
func eachOverlapping(k *builder, n asm.Int, through arrays, body func(l asm.Lanes)) {
	lanes := through[0].Type().Lanes()
	k.IfElse(n.Less(k.Int(lanes)), func() { k.Each(n, through, body) }, func() {
		left := k.Copy(n.Minus(k.Int(lanes)))
		k.While(left.Greater(k.Int(0)), func() {
			body(k.All())
			for _, a := range through {
				a.Advance(lanes)
			}
			left.Dec(k.Int(lanes))
		})
		back := through[0].Elements(left) // left is negative or 0
		for _, a := range through {
			a.Move(back)
		}
		body(k.All())
	})
}
