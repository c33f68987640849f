# `make test` is all of it; CI calls it too. What this machine lacks (a C compiler
# for -race, qemu for arm64) is left out with a line that says so, and is an error
# in CI.

NESTED  := asm gen cmd/trellis
QEMU    := qemu-aarch64-static
# A number of inputs: a time can end in the error that it is over.
FUZZ    ?= 20000x
KERNELS := TestKernel|TestPublicBetweenGuardPages
# The tiers whose kernels must have been tested on this machine: CI names all that it has.
TIERS   ?= generic
# Benchmarks: which, as go test's -bench has it (CTCGrad///workers=1), how long and how often.
ONLY      ?= .
BENCHTIME ?= 50ms
COUNT     ?= 6
BENCH     ?= bench.txt
BASE      ?= HEAD
MISSING  = { echo "NOT RUN: $@ needs $(1)"; [ -z "$(CI)" ]; }

.PHONY: test quick lower race purego arm64 nested vet fuzz bench benchcmp compare results report figures mca generate exhaustive

test: quick lower race purego arm64 nested vet fuzz

# The root module on this machine. Without a list of packages go test shows what a
# test prints: which tiers there were. The last line does every benchmark once.
quick:
	go vet ./...
	TRELLIS_MUST_TEST="$(TIERS)" go test
	go test ./internal/...
	@out=$$(go test -run '^$$' -bench . -benchtime 1x .) || { echo "$$out"; exit 1; }

# What is not tested on every tier anyway, on one below the best.
lower:
	TRELLIS_CPU=avx2 go test -count=1 -skip '$(KERNELS)|TestGoldenBits' . ./internal/conformance

# Assembly is invisible to the race detector: it is of no use where that is compared.
race:
	@if [ "$$(go env CGO_ENABLED)" = 1 ]; then go test -race -short -skip '$(KERNELS)' ./...; else $(call MISSING,cgo); fi

# The second line lets the compiler fuse x·y + z, which must not change a bit.
purego:
	go test -tags purego ./...
	GOAMD64=v3 go test -run TestGoldenBits .

# The same bits on another architecture.
arm64: export GOARCH := arm64
arm64:
	@if command -v $(QEMU) >/dev/null; then \
		TRELLIS_MUST_TEST="generic neon" go test -short -exec $(QEMU) && go test -short -exec $(QEMU) ./internal/... && \
		cd asm && go test -exec $(QEMU) ./...; else $(call MISSING,$(QEMU)); fi

nested:
	@for m in $(NESTED); do echo "$$m:" && (cd $$m && go vet ./... && go test ./...) || exit 1; done
	cd bench && go vet ./... && go test . ./figures ./mca ./internal/...

# One operating system for every architecture that Go builds for.
vet:
	@for p in $$({ go tool dist list | grep ^linux/; go tool dist list; } | awk -F/ '!seen[$$2]++'); do \
		echo "vet $$p" && GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go vet ./... || exit 1; done

fuzz:
	@for f in $$(go test -list '^Fuzz' . | grep ^Fuzz); do go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) . || exit 1; done

# All tiers side by side: four minutes. What was measured is in BENCH for benchstat.
bench:
	go test -run '^$$' -bench '$(value ONLY)' -benchtime $(BENCHTIME) -count $(COUNT) . | tee $(BENCH)
	@grep -q '^ok' $(BENCH)
	@go -C bench tool benchstat -col /impl $(abspath $(BENCH))

# The working tree beside the revision BASE, in turns: twice as long.
benchcmp:
	@bench/cmp.sh '$(BASE)' '$(value ONLY)' $(BENCHTIME) $(COUNT)

# Beside PyTorch, if a Python has it, gonum, Gorgonia and bare memory: some eight minutes.
compare:
	@go -C bench run -buildvcs=true .

# The same, kept in bench/results; then the report and the README's table of all that is there.
results:
	@go -C bench run -buildvcs=true . -o results -readme ../README.md

# Only the report and the README's table.
report:
	@go -C bench run . -o results -readme ../README.md -draw

# The lattice of docs/ctc.md.
figures:
	@go -C bench run ./figures

# Cycles per element of the inner loops, as llvm-mca's models have it.
mca:
	@go -C bench run ./mca

generate:
	go generate ./...
	@for m in $(NESTED); do (cd $$m && go generate ./...) || exit 1; done

# exp for all 2^32 float32, exp and log1p for many float64, on every tier; then the errors
# of 600 long CTC gradients: minutes.
exhaustive:
	TRELLIS_EXHAUSTIVE=1 go test -timeout 1h -v -run 'Exp32|TestKernelAccuracy' .
	TRELLIS_EXHAUSTIVE=1 go test -timeout 1h -v -run TestCTCPrecision ./internal/conformance
