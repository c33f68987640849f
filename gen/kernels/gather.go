package main

import "github.com/gotrellis/trellis/asm"

// gather has the kernels for lists of indices.
func gather() group {
	return group{"gather", []kernel{
		{
			name: "gather", types: floats, params: "dst []F, src []F, index []int32",
			describe: gatherPlain,
		},
		{
			name: "maxIndex", types: []asm.Type{asm.I32}, params: "index []int32", results: "most uint32",
			describe: maxIndex,
		},
	}}
}

// gatherPlain moves one element at a time: what it costs is a load and a store
// each, and a gather instruction costs more than that.
func gatherPlain(k *asm.Kernel, t asm.Type) {
	dst, src, index, n := k.Arg("dst_base"), k.Arg("src_base"), k.Arg("index_base"), k.Arg("index_len")
	i := k.Copy(k.Int(0))
	move := func(i asm.Int) { k.StoreInt(t, dst, i, k.LoadInt(t, src, k.LoadInt(asm.I32, index, i))) }
	k.While(i.Less(n), func() {
		move(i)
		i.Inc(k.Int(1))
	})
}

// maxIndex is the largest index as an unsigned number: a negative one is larger
// than any other.
func maxIndex(k *asm.Kernel, t asm.Type) {
	index, zero := k.Copy(k.Arg("index_base")), k.Bits(t, 0)
	most := k.Var(zero)
	k.Each(t, k.Arg("index_len"), []asm.Int{index}, func(l asm.Lanes) {
		most.Set(l.Load(index, 0, zero).UMax(most))
	})
	k.Return("most", most.FoldUMax())
}
