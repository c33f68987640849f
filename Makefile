# `make test` is what a change has to pass; CI calls it and `make long`. What this machine
# lacks (a C compiler for -race, qemu for arm64) is left out with a line that says so, and
# is an error in CI.

NESTED  := asm gen cmd/trellis bench
# The modules that have workspaces of their own.
EXAMPLES := examples/ocr examples/train examples/interop
APART   := $(EXAMPLES) beam
QEMU    := qemu-aarch64-static
# A kernel may not run programs of 32 bits. Go's preemption by signals does not get through qemu.
QEMU386 := qemu-i386-static
RUN386  := env GODEBUG=asyncpreemptoff=1 $(QEMU386)
# A number of inputs: a time can end in the error that it is over.
FUZZ    ?= 5000x
# Tests in which goroutines work together, or pointers are moved; those that compare bits on
# every tier; others that do that, or do not depend on the tier.
CREWS   := Workers|Concurrent|ManyRows|NLLSums|Fuzz
BITS    := TestKernel|TestGoldenBits
ANYTIER := $(BITS)|Alone$$|TestPublicBetween|TestColumns|TestStreamed|TestNoAllocations|TestLayers|TestEveryArch
# The tiers whose kernels must have been tested on this machine: CI names all that it has.
TIERS   ?= generic
# Benchmarks: which, as go test's -bench has it (CTCGrad///workers=1), how long and how often;
# ONLY is also of the names of works (cross-entropy.* 256×10).
ONLY      ?= .
BENCHTIME ?= 50ms
COUNT     ?= 6
BENCH     ?= bench.txt
BASE      ?= HEAD
# Targets that may run side by side do, each with its lines together.
JOBS     ?= $(shell getconf _NPROCESSORS_ONLN)
TOGETHER  = $(MAKE) --no-print-directory -j$(JOBS) $(if $(filter output-sync,$(.FEATURES)),-O)
MISSING   = { echo "NOT RUN: $@ needs $(1)"; [ -z "$(CI)" ]; }

# The kernels that test the vector assembler, which git does not keep.
OPS := asm/internal/optest/ops_amd64.s

# Go vet is run once, not by every go test, and nothing is compiled for C but the race detector.
TEST := go test -vet=off
# Behind go test -json: says which tests were skipped, and why, and in CI fails if that is not expected.
# SHORT is for go test -short.
SKIPS := GOARCH= GOFLAGS= CGO_ENABLED=0 go run $(abspath .ci/skips.go)
SHORT := $(SKIPS) -short
export CGO_ENABLED ?= 0

.PHONY: help test long quick race arm64 nested apart purego released fuzz trials alone neon lower beam bench benchcmp compare costs cliffs results report figures emissions mca examples generate tidy exhaustive

help: ## these lines
	@sed -n 's/^\([a-z0-9]*\):.* ## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-11s %s\n", $$1, $$2 }'

test: ## all tests in some five minutes on two cores; what the machine lacks for some is named
	@$(TOGETHER) quick arm64 race nested released purego

long: ## in some more minutes, what says little more than make test
	@$(TOGETHER) beam apart neon fuzz trials alone lower

# The last line does every benchmark once. Without the workspace the versions are those
# that the root's own go.mod asks for; the targets below have the workspace.
quick: export GOWORK := off
quick: ## the root module's tests on this machine
	go vet ./...
	@TRELLIS_MUST_TEST="$(TIERS)" $(TEST) -json . ./decode | $(SKIPS)
	@$(TEST) -json ./lm ./internal/... | $(SKIPS)
	@out=$$($(TEST) -short -run '^$$' -bench . -benchtime 1x . ./decode) || { echo "$$out"; exit 1; }

# What one goroutine does alone needs no race detector. Assembly is invisible to it, so that
# plain Go shows more of the work that is divided.
race: export CGO_ENABLED := 1
race: ## with the race detector, what goroutines do together
	@if command -v $$(go env CC) >/dev/null; then \
		$(TEST) -json -race ./internal/parallel ./internal/workspace | $(SKIPS) && \
		$(TEST) -json -race -run 'InOrder|Room|Interrupted|Writer' ./cmd/trellis/command | $(SHORT) && \
		for tier in generic ""; do \
			TRELLIS_CPU=$$tier $(TEST) -json -count=1 -race -short -run '$(CREWS)' . ./decode ./internal/conformance | $(SHORT) || exit 1; done; \
		else $(call MISSING,a C compiler); fi

# The tests without assembly are in make trials.
purego: ## the command without assembly, beside PyTorch's results
	go run -tags purego ./cmd/trellis

# Go's compiler fuses x·y + z there, which must not change a bit.
arm64: export GOARCH := arm64
arm64: $(OPS) ## the same bits on another architecture, under qemu
	@if command -v $(QEMU) >/dev/null; then \
		go vet -asmdecl . ./decode && TRELLIS_MUST_TEST="generic neon" $(TEST) -json -short -run '$(BITS)|Example' -exec $(QEMU) . ./decode | $(SHORT) && \
		$(TEST) -json -short -exec $(QEMU) ./internal/fp ./internal/guard ./internal/tier | $(SHORT) && \
		$(TEST) -json -exec $(QEMU) ./asm/internal/optest | $(SKIPS); else $(call MISSING,$(QEMU)); fi

nested: $(OPS) ## the tests of the other modules of the workspace
	@for m in $(NESTED); do echo "$$m:" && (cd $$m && go vet ./... && $(TEST) -json ./... | $(SKIPS)) || exit 1; done

# A training of a few steps goes through all of its program; the tests of examples/ocr read what its network
# has written once, and what needs the recogniser is skipped, and said, where that is not there. Arrow's other library for JSON takes longer to compile
# than all of Arrow.
apart: export GOFLAGS := $(strip $(shell go env GOFLAGS) -tags=arrow_json_stdlib)
apart: ## the examples in short
	@for m in $(EXAMPLES); do echo "$$m:" && (cd $$m && go vet ./... && $(TEST) -json -short ./... | $(SHORT)) || exit 1; done
	@go -C examples/train run . -steps 20 -o /dev/null
	@if command -v $$(go env CC) >/dev/null; then cd examples/ocr && CGO_ENABLED=1 $(TEST) -json -short ./... | $(SHORT); else $(call MISSING,a C compiler); fi

# Go vet would read all that Beam imports again: make examples has it.
beam: ## beam with 200 files: seconds, but two or three minutes to compile it the first time
	@cd beam && $(TEST) -json -short ./... | $(SHORT)

# go test does not see that files of other modules change.
released: ## what those get who install or clone the next version
	cd release && go vet . && $(TEST) -count=1 .

$(OPS): $(filter-out %_test.go,$(wildcard asm/*.go asm/internal/optest/gen/*.go asm/internal/optest/ops/*.go))
	GOARCH= go -C asm generate ./internal/optest

fuzz: ## every fuzz test, FUZZ inputs each
	@list=$$($(TEST) -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { f[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print f[i], $$2; n = 0 }' | \
		while read -r f p; do $(TEST) -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZ) $$p </dev/null || exit 1; done

# 386 has no assembly, no FMA instruction and an int of 32 bits.
trials: ## kernels with all inputs in all places; without assembly; the same bits on 386
	@TRELLIS_EXHAUSTIVE=1 $(TEST) -json -run 'TestKernels$$' . ./decode | $(SKIPS)
	@$(TEST) -json -short -tags purego . ./decode ./internal/tier | $(SHORT)
	@if [ "$$(go env GOHOSTARCH)" = amd64 ]; then export GOARCH=386; exec=; \
		$(TEST) -run '^$$' ./internal/fp >/dev/null 2>&1 || exec="-exec=$(RUN386)"; \
		if [ -z "$$exec" ] || command -v $(QEMU386) >/dev/null; then \
			echo "386:" && go vet ./... && $(TEST) $${exec:+"$$exec"} -json -short ./internal/fp | $(SHORT) && \
			$(TEST) $${exec:+"$$exec"} -json -run "TestGoldenBits|TestShapesThatOverflow" . ./decode | $(SKIPS); \
			else $(call MISSING,$(QEMU386)); fi; fi

# With it the compiler also checks what is done with pointers.
alone: export CGO_ENABLED := 1
alone: ## with the race detector, what one goroutine does
	@if command -v $$(go env CC) >/dev/null; then \
		$(TEST) -json -race -short -skip '$(BITS)|TestPublicBetween|$(CREWS)' . ./decode ./lm | $(SHORT) && \
		$(TEST) -json -race -short $$(go list ./internal/... | grep -Ev 'conformance|parallel|workspace') | $(SHORT); \
		else $(call MISSING,a C compiler); fi

# Of conformance what is compared with references and other programs: that calls agree with each
# other does not depend on the architecture. Of internal/fp no more than make arm64 does: how exact its functions
# are is the same everywhere once their bits are.
neon: export GOARCH := arm64
neon: ## on arm64 what make arm64 leaves out
	@if command -v $(QEMU) >/dev/null; then \
		$(TEST) -timeout 20m -short -json -skip '$(BITS)|TestNoAllocations' -exec $(QEMU) . | $(SHORT) && \
		$(TEST) -timeout 20m -short -run 'Match|Torch|ONNX|Emissions$$|SmallLosses' -skip 'Gradcheck|Critical' -json -exec $(QEMU) ./internal/conformance | $(SHORT) && \
		$(TEST) -json -timeout 20m -short -exec $(QEMU) $$(go list ./internal/... | grep -Ev 'conformance|fp|guard|tier$$') | $(SHORT); else $(call MISSING,$(QEMU)); fi

# On a machine with AVX-512 AVX2 is one.
lower: ## what is not tested on every tier anyway, on those that are not the best
	@for tier in generic $$(grep -qsw avx512vl /proc/cpuinfo && echo avx2); do \
		TRELLIS_CPU=$$tier $(TEST) -json -count=1 -short -skip '$(ANYTIER)' . ./decode ./internal/conformance | $(SHORT) || exit 1; done

# What was measured is in BENCH for benchstat.
bench: ## Go benchmarks of all tiers side by side: four minutes
	go test -run '^$$' -bench '$(value ONLY)' -benchtime $(BENCHTIME) -count $(COUNT) . | tee $(BENCH)
	@grep -q '^ok' $(BENCH)
	@go -C bench tool benchstat -col /impl $(abspath $(BENCH))

benchcmp: ## the working tree beside the revision BASE, in turns: twice as long
	@bench/cmp.sh '$(BASE)' '$(value ONLY)' $(BENCHTIME) $(COUNT)

# PyTorch only if a Python has it.
compare: ## speed beside PyTorch, gonum, Gorgonia, plain loops and memory: some eleven minutes
	@go -C bench run -buildvcs=true .

costs: ## what decides whether Workers 0 shares a call, for the constants in blocks.go
	@go -C bench run . -costs

# Recordings of networks only if TRELLIS_TESTDATA names a folder with some.
cliffs: ## works that take longer than their neighbours, plain loops or PyTorch: ten minutes
	@go -C bench run . -cliffs -only '$(value ONLY)'

results: ## the same, kept in bench/results, then the report
	@go -C bench run -buildvcs=true . -o results -project ..

report: ## the report and the tables of README.md and docs/performance.md from bench/results
	@go -C bench run . -o results -project .. -draw

figures: ## the trellis of docs/ctc.md
	@go -C bench run ./figures

emissions: ## bench/emissions: trains the recogniser, in minutes
	@go -C bench run ./emissions/train

mca: ## cycles per element of the inner loops, as llvm-mca's models have it
	@go -C bench run ./mca

examples: ## the examples and beam in full, with their pictures: three minutes, a C compiler, and npm the first time
	CGO_ENABLED=1 go -C examples/ocr run . -o ocr.png
	CGO_ENABLED=1 go -C examples/ocr test .
	go -C examples/train run . -o train.png
	GOFLAGS="$$(go env GOFLAGS) -tags=arrow_json_stdlib" go -C examples/interop test ./...
	go -C beam vet -tags s3 ./...
	go -C beam test -vet=off -count=1 ./...

generate: ## everything that is generated
	go generate ./...
	@for m in $(NESTED); do (cd $$m && go generate ./...) || exit 1; done

# Neither the workspace nor a proxy out there has what the modules require of each other
# (see CONTRIBUTING.md). The second half writes go.work.sum anew.
tidy: ## go.mod and go.sum of every module; with VERSION=v0.2.0, requiring that of each other; not of EXCEPT
	go -C release run . -tidy $(if $(VERSION),-version $(VERSION)) -except '$(EXCEPT)'
	@for m in . $(filter-out $(EXCEPT),$(APART)); do (cd $$m && rm -f go.work.sum && go list -m all >/dev/null) || exit 1; done
	@for m in . $(NESTED) $(filter-out $(EXCEPT),$(APART)) release; do go -C $$m list -deps -test ./... >/dev/null || exit 1; done

exhaustive: ## exp for all 2^32 float32, exp and log1p for many float64, on every tier; long CTC gradients: minutes
	TRELLIS_EXHAUSTIVE=1 go test -timeout 1h -v -run 'Exp32|TestKernelAccuracy' . ./internal/fp
	TRELLIS_EXHAUSTIVE=1 go test -timeout 1h -v -run TestCTCPrecision ./internal/conformance
