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
// A range is Split{Name: path, From, To} with no Data. A group has its files in Data, the first
// one's path as its Name and the number of bytes to read of them as its To. It begins as whole
// files; what is left of one that was read in part begins in the midst of its first file.
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
	s.group.Data = appendPart(s.group.Data, part{path: path, to: size})
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

func appendPart(data []byte, p part) []byte {
	data = binary.AppendUvarint(data, uint64(p.from))
	data = binary.AppendUvarint(data, uint64(p.to))
	data = binary.AppendUvarint(data, uint64(len(p.path)))
	return append(data, p.path...)
}

// parts is what is left to read of a split.
type parts struct {
	single part
	list   string // as appendPart made it; the paths are parts of this string
	bytes  int64  // to read of the files in list
}

func partsOf(s connector.Split) parts {
	if len(s.Data) == 0 {
		return parts{single: part{s.Name, s.From, s.To}}
	}
	return parts{list: string(s.Data), bytes: s.To}
}

// withHead returns p, with head before it, as a split.
func (p *parts) withHead(head part) connector.Split {
	if p.list == "" {
		return connector.Split{Name: head.path, From: head.from, To: head.to}
	}
	data := append(appendPart(nil, head), p.list...)
	return connector.Split{Name: head.path, To: p.bytes + head.to - head.from, Data: data}
}

var errMalformedSplit = errors.New("malformed list of files in a split")

// next returns the next part; ok is false when there is none.
func (p *parts) next() (next part, ok bool, err error) {
	if p.list == "" {
		next, p.single = p.single, part{}
		return next, next.to > next.from, nil
	}
	from, ok1 := p.uvarint()
	to, ok2 := p.uvarint()
	length, ok3 := p.uvarint()
	if !ok1 || !ok2 || !ok3 || from > to || to-from > uint64(p.bytes) || int64(to) < 0 || length > uint64(len(p.list)) {
		return part{}, false, errMalformedSplit
	}
	next = part{path: p.list[:length], from: int64(from), to: int64(to)}
	p.list = p.list[length:]
	p.bytes -= next.to - next.from
	return next, true, nil
}

func (p *parts) uvarint() (v uint64, ok bool) {
	for i := 0; i < len(p.list) && i < binary.MaxVarintLen64; i++ {
		b := p.list[i]
		if i == binary.MaxVarintLen64-1 && b > 1 {
			return 0, false // more than 64 bits
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			p.list = p.list[i+1:]
			return v, true
		}
	}
	return 0, false
}
