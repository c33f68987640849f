package decode

// Scorer says how well texts read, label by label: a language model, a lexicon, words to look out for,
// or what else one knows. Package lm has these three. A scorer goes through a text from state to state;
// what it adds for a label must depend on nothing but the state before it and the label. The methods
// are called for many labels that are not kept, and by several goroutines if there are several
// sequences, and must be fast and change nothing that can be seen.
type Scorer interface {
	// Start returns the state before the first label.
	Start() State
	// Next returns the state behind a label, and what the label adds to the score. A sum of −Inf or NaN
	// means that no text goes on so; one above 250 counts as a Bonus of 250.
	Next(before State, label int) (State, Score)
	// End returns what the end of the text adds: the end of a sentence, a word that is not
	// complete. It must not be NaN or +Inf.
	End(State) Score
}

// State is a number by which a Scorer knows what is before a label. A scorer whose states are no
// numbers keeps them in a table of its own.
type State uint64

// Score is what a Scorer adds, in nats and weighted: LM is a language model's part, and Bonus all else.
type Score struct{ LM, Bonus float64 }

// plus returns the sum of two scores.
func (s Score) plus(t Score) Score { return Score{s.LM + t.LM, s.Bonus + t.Bonus} }

// sum is what the score adds to a hypothesis' total.
func (s Score) sum() float64 { return s.LM + s.Bonus }
