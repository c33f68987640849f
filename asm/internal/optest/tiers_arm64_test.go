package optest

import (
	"golang.org/x/sys/cpu"

	"github.com/gotrellis/trellis/asm"
)

var tiers = []tier{{asm.NEON, cpu.ARM64.HasASIMD}}
