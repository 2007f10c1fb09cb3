package record

import (
	"encoding/binary"
	"math"
	"reflect"
	"sync"
	"time"
	"unsafe"
)

var timeType = reflect.TypeFor[time.Time]()

// inUTC stands where the zone offset would, for times whose location is UTC, so that those
// are the same Go value after the journey.
const inUTC = math.MinInt32

const (
	timeWidth  = 16
	offsetMost = 48 * 3600 // seconds; real zones stay within 26 hours
)

func fillTime(p *program) {
	p.schema, p.least = "time", timeWidth
	p.append = func(dst []byte, at unsafe.Pointer, _ int) []byte { return appendTime(dst, *(*time.Time)(at)) }
	p.decode = decodeTime
}

// appendTime writes a wall-clock instant: seconds since 1970 (8 bytes), nanoseconds (4) and the zone's
// offset in seconds east of UTC (4). The zone's name and the monotonic reading do not travel.
func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.Unix()))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t.Nanosecond()))
	offset := int32(inUTC)
	if t.Location() != time.UTC {
		_, seconds := t.Zone()
		offset = int32(seconds)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(offset))
}

func decodeTime(d *decoder, at unsafe.Pointer) bool {
	b := d.take(timeWidth)
	if b == nil {
		return false
	}
	seconds := int64(binary.LittleEndian.Uint64(b))
	nanos := binary.LittleEndian.Uint32(b[8:])
	offset := int32(binary.LittleEndian.Uint32(b[12:]))
	if nanos >= 1e9 || offset != inUTC && (offset > offsetMost || offset < -offsetMost) {
		return d.fail(errValue)
	}
	t := time.Unix(seconds, int64(nanos)).UTC()
	if offset != inUTC {
		t = t.In(zone(offset))
	}
	*(*time.Time)(at) = t
	return true
}

// zones holds the locations of decoded times, by offset, so that none is made per record.
// There are few: decodeTime bounds the offsets.
var zones sync.Map

func zone(offset int32) *time.Location {
	if z, ok := zones.Load(offset); ok {
		return z.(*time.Location)
	}
	z, _ := zones.LoadOrStore(offset, time.FixedZone("", int(offset)))
	return z.(*time.Location)
}
