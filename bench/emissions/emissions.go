// Package emissions has what a small recogniser of text wrote for some lines: see README.md.
package emissions

import "embed"

// Files are folders with emissions.npy and index.json: of a line, and of a batch of lines.
//
//go:embed line batch
var Files embed.FS
