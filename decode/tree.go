package decode

// tree holds the prefixes of a beam and what they begin with: a prefix is a node whose labels are
// those from the root to it. A node that is in no beam and has no children is taken out, and what
// all prefixes begin with is moved to a list, so that the tree has about as many nodes as the beam
// has prefixes, times the labels in which they differ.
type tree struct {
	nodes   []node
	free    int32 // the first unused node: their parent is the next one
	root    int32
	settled []int // the labels above the root and of the root, which all prefixes begin with
}

// node is a prefix. Its children are a list, in no order.
type node struct {
	parent, child, next, previous int32
	label                         int32
	depth                         int32 // number of labels
	place                         int32 // in the beam, or none
}

const (
	none   = -1
	unused = -2 // the place of a node that is none
)

// reset leaves the empty prefix alone, which is in the beam.
func (t *tree) reset() {
	t.nodes, t.free, t.settled = t.nodes[:0], none, t.settled[:0]
	t.root = t.add(none, none)
}

// add returns a new child of a node.
func (t *tree) add(parent, label int32) int32 {
	id := t.free
	if id == none {
		id = int32(len(t.nodes))
		t.nodes = append(t.nodes, node{})
	} else {
		t.free = t.nodes[id].parent
	}
	n := &t.nodes[id] // field by field: a copy of a new node would wait for its fields to be stored
	n.parent, n.child, n.next, n.previous, n.label, n.depth, n.place = parent, none, none, none, label, 0, none
	if parent != none {
		p := &t.nodes[parent]
		n.depth, n.next = p.depth+1, p.child
		if p.child != none {
			t.nodes[p.child].previous = id
		}
		p.child = id
	}
	return id
}

// childOf returns the child of a node with a label, which it adds if there is none.
func (t *tree) childOf(parent, label int32) (id int32, isNew bool) {
	for id = t.nodes[parent].child; id != none; id = t.nodes[id].next {
		if t.nodes[id].label == label {
			return id, false
		}
	}
	return t.add(parent, label), true
}

// prune takes out a node that has left the beam if it has no children, and then its parent
// likewise.
func (t *tree) prune(id int32) {
	for id != t.root {
		n := &t.nodes[id]
		if n.place != none || n.child != none {
			return
		}
		if n.next != none {
			t.nodes[n.next].previous = n.previous
		}
		if n.previous != none {
			t.nodes[n.previous].next = n.next
		} else {
			t.nodes[n.parent].child = n.next
		}
		parent := n.parent
		t.release(id)
		id = parent
	}
}

// release makes a node unused.
func (t *tree) release(id int32) {
	t.nodes[id].parent, t.nodes[id].place = t.free, unused
	t.free = id
}

// settle moves the root to where prefixes part: they all begin with its labels, and will.
func (t *tree) settle() {
	for {
		r := &t.nodes[t.root]
		if r.place != none || r.child == none || t.nodes[r.child].next != none {
			return
		}
		child := r.child
		t.release(t.root)
		t.root = child
		t.nodes[t.root].parent = none
		t.settled = append(t.settled, int(t.nodes[t.root].label))
	}
}

// appendLabels appends the labels of a node, without those that are settled.
func (t *tree) appendLabels(dst []int, id int32) []int {
	from := len(dst)
	for ; id != t.root; id = t.nodes[id].parent {
		dst = append(dst, int(t.nodes[id].label))
	}
	for i, j := from, len(dst)-1; i < j; i, j = i+1, j-1 {
		dst[i], dst[j] = dst[j], dst[i]
	}
	return dst
}

// extended is a prefix that may not be in the tree: a node, and another label behind it or none.
type extended struct{ node, label int32 }

// compare orders prefixes by their labels, of two of which one begins with the other the short one
// first: it is below 0 if a comes before b.
func (t *tree) compare(a, b extended) int {
	// Both go up to where they have one length, and then to where they part.
	// The prefix of a node is its parent and its label; the root's is the root and none.
	parted := func(id int32) extended {
		if id == t.root {
			return extended{id, none}
		}
		return extended{t.nodes[id].parent, t.nodes[id].label}
	}
	up := func(e extended) extended { return parted(e.node) }
	if a.label == none {
		a = parted(a.node)
	}
	if b.label == none {
		b = parted(b.node)
	}
	length := func(e extended) int32 {
		if e.label == none {
			return t.nodes[e.node].depth
		}
		return t.nodes[e.node].depth + 1
	}
	order := int(length(a)) - int(length(b))
	for length(a) > length(b) {
		a = up(a)
	}
	for length(b) > length(a) {
		b = up(b)
	}
	for a.node != b.node {
		a, b = up(a), up(b)
	}
	if a.label != b.label {
		return int(a.label) - int(b.label)
	}
	return order
}
