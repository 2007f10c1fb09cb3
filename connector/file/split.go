package file

import (
	"encoding/binary"
	"errors"

	"github.com/perennial-io/perennial/connector"
)

const (
	minSplit = 1 << 20
	maxSplit = 32 << 20
	// maxGroup bounds the list of files in a split, which travels as one record.
	maxGroup = 16 << 10
)

// splitter cuts files into splits of about one size: a large file into ranges, many small
// ones into a group. A line belongs to the range in which it begins.
//
// A range is Split{Name: path, From, To} with no Data. A group has its files in Data,
// each read whole, the first one's path as its Name and the number of their bytes as its To.
type splitter struct {
	size  int64 // 0: by the size of the file
	emit  func(connector.Split) error
	group connector.Split
}

func (s *splitter) add(path string, size int64) error {
	if size == 0 {
		return nil
	}
	target := s.size
	if target == 0 {
		target = min(max(size/16, minSplit), maxSplit)
	}
	if size > target {
		return s.addRanges(path, size, target)
	}
	if s.group.To+size > target || len(s.group.Data)+len(path) > maxGroup {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if s.group.Data == nil {
		s.group.Name = path
	}
	s.group.Data = appendPart(s.group.Data, path, size)
	s.group.To += size
	return nil
}

func (s *splitter) addRanges(path string, size, target int64) error {
	if err := s.flush(); err != nil { // keeps the order of files
		return err
	}
	for from := int64(0); from < size; from += target {
		split := connector.Split{Name: path, From: from, To: from + min(target, size-from)}
		if err := s.emit(split); err != nil {
			return err
		}
	}
	return nil
}

// flush emits the group.
func (s *splitter) flush() error {
	if s.group.Data == nil {
		return nil
	}
	group := s.group
	s.group = connector.Split{}
	return s.emit(group)
}

// part is the range of one file that is to be read.
type part struct {
	path     string
	from, to int64
}

func appendPart(data []byte, path string, size int64) []byte {
	data = binary.AppendUvarint(data, uint64(size))
	data = binary.AppendUvarint(data, uint64(len(path)))
	return append(data, path...)
}

// parts is what is left to read of a split.
type parts struct {
	single part
	list   string // as appendPart made it; the paths are parts of this string
}

func partsOf(s connector.Split) parts {
	if len(s.Data) == 0 {
		return parts{single: part{s.Name, s.From, s.To}}
	}
	return parts{list: string(s.Data)}
}

var errMalformedSplit = errors.New("malformed list of files in a split")

// next returns the next part; ok is false when there is none.
func (p *parts) next() (next part, ok bool, err error) {
	if p.list == "" {
		next, p.single = p.single, part{}
		return next, next.to > next.from, nil
	}
	size, ok1 := p.uvarint()
	length, ok2 := p.uvarint()
	if !ok1 || !ok2 || length > uint64(len(p.list)) || int64(size) < 0 {
		return part{}, false, errMalformedSplit
	}
	next = part{path: p.list[:length], to: int64(size)}
	p.list = p.list[length:]
	return next, true, nil
}

func (p *parts) uvarint() (v uint64, ok bool) {
	for i := 0; i < len(p.list) && i < binary.MaxVarintLen64; i++ {
		v |= uint64(p.list[i]&0x7f) << (7 * i)
		if p.list[i] < 0x80 {
			p.list = p.list[i+1:]
			return v, true
		}
	}
	return 0, false
}
