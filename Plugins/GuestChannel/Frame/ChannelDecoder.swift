import CGuestChannel

/// Finds the frames in a stream of bytes, whatever the bytes are and however they are cut.
///
/// What is not a frame is skipped, byte by byte, until something is one: after damage the next whole frame is found. It
/// keeps at most one frame's bytes, and looks at each byte a bounded number of times: a header takes at least eight bytes
/// to pretend, and pretending costs at most one checksum of a frame.
public struct ChannelDecoder: Sendable {
    /// How many bytes were no part of a frame, zeroes between frames included.
    public private(set) var skippedBytes: UInt64 = 0
    /// How many bytes went through a checksum: the work that hostile input can cause.
    public private(set) var checkedBytes: UInt64 = 0

    private var buffer: [UInt8] = []

    /// A decoder at the start of a stream.
    public init() { buffer.reserveCapacity(ChannelFrame.maximumSize) }

    /// The number of bytes that wait for more: never above ``ChannelFrame/maximumSize``.
    public var pendingByteCount: Int { buffer.count }

    /// Takes bytes in and hands over each frame that they complete, in order.
    ///
    /// - Complexity: O(*n*).
    public mutating func append(_ bytes: Span<UInt8>, _ body: (ChannelFrame) -> Void) {
        var taken = 0
        while true {
            takeFrames(body)
            let end = min(bytes.count, taken + ChannelFrame.maximumSize - buffer.count)
            guard taken < end else { return }
            while taken < end {
                buffer.append(bytes[taken])
                taken += 1
            }
        }
    }

    /// Takes all frames off the start of the buffer, with what is none before them.
    private mutating func takeFrames(_ body: (ChannelFrame) -> Void) {
        var start = 0
        while start < buffer.count {
            guard mayBegin(at: start) else {
                start += 1
                skippedBytes += 1
                continue
            }
            guard let size = frameSize(at: start), start + size <= buffer.count else { break }
            if let frame = frame(at: start, size: size) {
                start += size
                body(frame)
            } else {
                start += 1
                skippedBytes += 1
            }
        }
        buffer.removeFirst(start)
    }

    /// Whether what is there of a header at `start` can be one.
    private func mayBegin(at start: Int) -> Bool {
        let count = buffer.count - start
        for index in 0..<min(count, 4) {
            guard buffer[start + index] == UInt8(truncatingIfNeeded: GUEST_CHANNEL_MAGIC >> (8 * Int32(index))) else {
                return false
            }
        }
        if count > Int(GUEST_CHANNEL_FRAME_ZERO), buffer[start + Int(GUEST_CHANNEL_FRAME_ZERO)] != 0 { return false }
        return count < Int(GUEST_CHANNEL_FRAME_ID) || length(at: start) <= ChannelFrame.maximumPayload
    }

    private func length(at start: Int) -> Int {
        let low = start + Int(GUEST_CHANNEL_FRAME_LENGTH)
        return Int(buffer[low]) | Int(buffer[low + 1]) << 8
    }

    /// The size of the frame whose header is at `start`, or `nil` where the header is not complete.
    private func frameSize(at start: Int) -> Int? {
        buffer.count - start < ChannelFrame.headerSize ? nil : ChannelFrame.headerSize + length(at: start)
    }

    /// The frame whose bytes are all there, or `nil` where its checksum says that it is none.
    private mutating func frame(at start: Int, size: Int) -> ChannelFrame? {
        let payload = Array(buffer[(start + ChannelFrame.headerSize)..<(start + size)])
        let header = ByteReader(bytes: Array(buffer[start..<(start + ChannelFrame.headerSize)]))
        var checksum = FrameChecksum()
        checksum.append(header.bytes.span.extracting(first: Int(GUEST_CHANNEL_FRAME_CRC)))
        checksum.append(payload.span)
        checkedBytes += UInt64(size)
        guard checksum.value == header.number(GUEST_CHANNEL_FRAME_CRC, as: UInt32.self) else { return nil }
        return ChannelFrame(
            unchecked: header.number(GUEST_CHANNEL_FRAME_TYPE),
            header.number(GUEST_CHANNEL_FRAME_ID),
            payload
        )
    }
}
