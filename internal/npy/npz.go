package npy

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// zipMagic is how a .npz file, an archive of zip, begins, unless it is empty.
const zipMagic = "PK\x03\x04"

// IsMagic reports whether a file that begins so is an array, or several.
func IsMagic(start []byte) bool {
	return bytes.HasPrefix(start, []byte(Magic)) || bytes.HasPrefix(start, []byte(zipMagic))
}

// IsArray reports whether a name is that of a regular file that begins as .npy and .npz files
// do, or of an array in one.
func IsArray(name string) bool {
	path, _ := split(name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	start := make([]byte, len(Magic))
	n, _ := io.ReadFull(file, start)
	return IsMagic(start[:n])
}

// Path returns the name of the file that an array of this name is in.
func Path(name string) string {
	path, _ := split(name)
	return path
}

// split takes the name of an array in a .npz file apart. A file may have a colon in its name.
func split(name string) (path, member string) {
	const end = ".npz:"
	at := strings.LastIndex(name, end)
	if at < 0 {
		return name, ""
	}
	if _, err := os.Stat(name); err == nil {
		return name, ""
	}
	return name[:at+len(end)-1], name[at+len(end):]
}

// openMember finds an array in a .npz file: the one of the name, or without a name the only one.
func openMember(archive io.ReaderAt, size int64, name string) (io.ReaderAt, int64, error) {
	z, err := zip.NewReader(archive, size)
	if err != nil {
		return nil, 0, fmt.Errorf("a .npz file that is damaged: %w", err)
	}
	var found *zip.File
	var names []string
	for _, f := range z.File {
		array, isArray := strings.CutSuffix(f.Name, ".npy")
		if !isArray {
			continue
		}
		names = append(names, array)
		if found == nil && (name == "" || name == array) {
			found = f
		}
	}
	list := strings.Join(names[:min(len(names), 8)], ", ")
	switch {
	case len(names) == 0:
		return nil, 0, errors.New("no array is in it")
	case found == nil:
		return nil, 0, fmt.Errorf("no array of that name is in it, but %s", list)
	case name == "" && len(names) > 1:
		return nil, 0, fmt.Errorf("%d arrays are in it; say which, as in x.npz:%s: %s", len(names), names[0], list)
	}
	return readMember(archive, size, found)
}

// readMember gives access to a file of the archive, which has so many bytes: in its place, or if it is
// compressed in memory, once it is read.
func readMember(archive io.ReaderAt, size int64, f *zip.File) (io.ReaderAt, int64, error) {
	at, err := f.DataOffset()
	if err != nil {
		return nil, 0, err
	}
	if at > size || f.CompressedSize64 > uint64(size-at) {
		return nil, 0, fmt.Errorf("%s: truncated: it takes %d bytes from %d on, the archive has %d", f.Name, f.CompressedSize64, at, size)
	}
	if f.Method == zip.Store {
		return io.NewSectionReader(archive, at, int64(f.CompressedSize64)), int64(f.CompressedSize64), nil
	}
	if f.UncompressedSize64 > maxStream {
		return nil, 0, fmt.Errorf("%s: more than %d GiB when unpacked; numpy.savez does not compress", f.Name, maxStream>>30)
	}
	if f.UncompressedSize64 > mostPacked*f.CompressedSize64 {
		return nil, 0, fmt.Errorf("%s: %d bytes cannot become %d", f.Name, f.CompressedSize64, f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	start, err := io.ReadAll(io.LimitReader(r, packedStart))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", f.Name, err)
	}
	return &packed{file: f, start: start}, int64(f.UncompressedSize64), nil
}

// mostPacked is how many bytes one byte of deflate can stand for: two bits, for 258.
const mostPacked = 4 * 258

// packedStart is how much of a compressed file is read without unpacking all of it, which is more than
// most headers take.
const packedStart = 1 << 12

// packed is a compressed file of an archive. It is unpacked when more than its start is asked for.
type packed struct {
	file   *zip.File
	start  []byte
	unpack sync.Once
	all    []byte
	err    error
}

func (p *packed) ReadAt(b []byte, from int64) (int, error) {
	if from+int64(len(b)) <= int64(len(p.start)) {
		return copy(b, p.start[from:]), nil
	}
	p.unpack.Do(func() {
		if p.all, p.err = unpack(p.file); p.err != nil {
			p.err = fmt.Errorf("%s: %w", p.file.Name, p.err)
		}
	})
	if p.err != nil {
		return 0, p.err
	}
	return bytes.NewReader(p.all).ReadAt(b, from)
}

// unpack returns all of a compressed file, and checks that this is what has been compressed.
func unpack(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, all); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // the sum is compared at the end
		return nil, err
	}
	return all, nil
}
