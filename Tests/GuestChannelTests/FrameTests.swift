import CustodyTestSupport
import GuestChannel
import SimulationBackend
import Testing

/// Bytes to frames and back, by the host's codec and by the guests', whatever the bytes are.
@Suite struct FrameTests {
    private func frame(_ random: inout SplitMix64) throws -> ChannelFrame {
        let sizes = [0, 1, 8, 16, 24, 511, 512, Int(random.next() % 513)]
        return try ChannelFrame(
            type: UInt8(truncatingIfNeeded: random.next()),
            id: UInt32(truncatingIfNeeded: random.next()),
            payload: noise(sizes[Int(random.next() % 8)], &random)
        )
    }

    /// Bytes that look like the protocol's more often than not.
    private func noise(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        let words: [[UInt8]] = [
            Array("CUST".utf8), Array("CUST\u{1}\0\0\u{2}".utf8), Array("CUST\u{2}\0\0\0".utf8), [0, 0, 0, 0],
            [0xff, 0xff],
        ]
        var bytes: [UInt8] = []
        while bytes.count < count {
            if random.next() % 2 == 0 {
                bytes += words[Int(random.next() % UInt64(words.count))]
            } else {
                bytes.append(UInt8(truncatingIfNeeded: random.next()))
            }
        }
        return Array(bytes.prefix(count))
    }

    @Test func theBytesAreTheOnesOfTheDocument() throws {
        let frame = try ChannelFrame(type: 2, id: 0x0102_0304, payload: [0xaa, 0xbb])
        // The checksum is that of zlib's crc32 for these bytes.
        #expect(
            frame.bytes == [
                0x43, 0x55, 0x53, 0x54, 0x02, 0x00, 0x02, 0x00, 0x04, 0x03, 0x02, 0x01, 0x88, 0x7a, 0x35, 0x42, 0xaa,
                0xbb,
            ]
        )
        #expect(throws: ChannelError.tooLong(byteCount: 513)) {
            try ChannelFrame(type: 2, id: 0, payload: [UInt8](repeating: 0, count: 513))
        }
    }

    @Test func bothCodecsReadWhatEitherWrites() throws {
        var (random, note) = Seed.generator("frames")
        for _ in 0..<300 {
            let frame = try frame(&random)
            #expect(CCodec.encode(frame) == frame.bytes, "\(note)")
            #expect(ChannelDecoder.decode(frame.bytes) == [frame], "\(note)")
            #expect(CCodec.decode(frame.bytes) == [frame], "\(note)")
        }
    }

    @Test func aStreamMayBeCutAnywhere() throws {
        var (random, note) = Seed.generator("cuts")
        let frames = try (0..<3).map { _ in try frame(&random) }
        let bytes = [0, 0x43, 0x55] + frames.flatMap(\.bytes)
        for cut in 0...bytes.count {
            #expect(ChannelDecoder.decode(bytes, parts: [cut]) == frames, "\(note), cut at \(cut)")
            #expect(CCodec.decode(bytes, parts: [cut]) == frames, "\(note), cut at \(cut)")
        }
        let single = [Int](repeating: 1, count: bytes.count)
        #expect(ChannelDecoder.decode(bytes, parts: single) == frames)
        #expect(CCodec.decode(bytes, parts: single) == frames)
    }

    /// Whatever happens to one frame, what comes after a flush is found.
    @Test func aDamagedFrameIsSkippedAndTheNextOneFound() throws {
        var (random, note) = Seed.generator("damage")
        for _ in 0..<300 {
            // It does not end with zeroes, which a flush would put back.
            let whole = try frame(&random)
            let frame = try ChannelFrame(type: whole.type, id: whole.id, payload: whole.payload.dropLast() + [1])
            let next = try self.frame(&random)
            var bytes = frame.bytes
            if random.next() % 2 == 0 {
                bytes[Int(random.next() % UInt64(bytes.count))] ^= UInt8(1 << (random.next() % 8))
            } else {
                bytes.removeLast(1 + Int(random.next() % UInt64(bytes.count)))
            }
            let stream = bytes + ChannelFrame.flush + next.bytes
            #expect(ChannelDecoder.decode(stream).last == next, "\(note)")
            #expect(!ChannelDecoder.decode(stream).contains(frame), "\(note)")
            #expect(CCodec.decode(stream) == ChannelDecoder.decode(stream), "\(note)")
        }
    }

    /// A header that promises more than a frame can carry is no header: nobody waits for its bytes.
    @Test func aGiantLengthIsNotWaitedFor() throws {
        let next = try ChannelFrame(type: 1, id: 9, payload: [1])
        for length: UInt16 in [513, 0x7fff, .max] {
            var bytes = try ChannelFrame(type: 2, id: 1, payload: []).bytes
            bytes[6] = UInt8(truncatingIfNeeded: length)
            bytes[7] = UInt8(length >> 8)
            #expect(ChannelDecoder.decode(bytes + next.bytes) == [next])
            #expect(CCodec.decode(bytes + next.bytes) == [next])
        }
    }

    @Test func anyBytesAreTakenWithBoundedMemoryAndWork() throws {
        var (random, note) = Seed.generator("noise")
        for round in 0..<200 {
            var decoder = ChannelDecoder()
            var total = 0
            var taken = 0
            for _ in 0..<8 {
                let part = noise(Int(random.next() % 700), &random)
                total += part.count
                taken += decoder.frames(in: part).reduce(0) { $0 + $1.bytes.count }
                #expect(decoder.pendingByteCount <= ChannelFrame.maximumSize)
            }
            #expect(Int(decoder.skippedBytes) + taken + decoder.pendingByteCount == total, "\(note), round \(round)")
        }
    }

    /// The worst that a sender can do is headers within headers, each with the longest payload: one every eight bytes.
    @Test func headersWithinHeadersCostNoMoreThanAFrameEach() {
        let header = Array("CUST\u{1}\0".utf8) + [0x00, 0x02]
        let bytes = [[UInt8]](repeating: header, count: 8192).flatMap { $0 }
        var decoder = ChannelDecoder()
        #expect(decoder.frames(in: bytes).isEmpty)
        #expect(Int(decoder.checkedBytes) <= bytes.count / header.count * ChannelFrame.maximumSize)
        #expect(decoder.checkedBytes > 0)
    }

    @Test func bothCodecsFindTheSameFramesInAnyBytes() throws {
        var (random, note) = Seed.generator("streams")
        for _ in 0..<100 {
            var bytes: [UInt8] = []
            for _ in 0..<6 {
                bytes += random.next() % 2 == 0 ? noise(Int(random.next() % 600), &random) : try frame(&random).bytes
            }
            let parts = (0..<4).map { _ in Int(random.next() % 900) }
            #expect(ChannelDecoder.decode(bytes, parts: parts) == CCodec.decode(bytes), "\(note)")
        }
    }
}
