#include "guest_channel.h"

static uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, size_t count) {
    for (size_t index = 0; index < count; index++) {
        crc ^= bytes[index];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return crc;
}

static uint32_t frame_crc(const uint8_t *header, const uint8_t *payload, size_t length) {
    return ~crc32_update(crc32_update(~0u, header, GUEST_CHANNEL_FRAME_CRC), payload, length);
}

uint16_t guest_channel_load16(const uint8_t *bytes) { return (uint16_t)(bytes[0] | bytes[1] << 8); }

uint32_t guest_channel_load32(const uint8_t *bytes) {
    return guest_channel_load16(bytes) | (uint32_t)guest_channel_load16(bytes + 2) << 16;
}

uint64_t guest_channel_load64(const uint8_t *bytes) {
    return guest_channel_load32(bytes) | (uint64_t)guest_channel_load32(bytes + 4) << 32;
}

void guest_channel_store16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

void guest_channel_store32(uint8_t *bytes, uint32_t value) {
    guest_channel_store16(bytes, (uint16_t)value);
    guest_channel_store16(bytes + 2, (uint16_t)(value >> 16));
}

void guest_channel_store64(uint8_t *bytes, uint64_t value) {
    guest_channel_store32(bytes, (uint32_t)value);
    guest_channel_store32(bytes + 4, (uint32_t)(value >> 32));
}

static void copy(uint8_t *to, const uint8_t *from, size_t count) {
    for (size_t index = 0; index < count; index++) to[index] = from[index];
}

size_t guest_channel_encode(const struct guest_channel_frame *frame, uint8_t *bytes) {
    if (frame->length > GUEST_CHANNEL_MAXIMUM_PAYLOAD) return 0;
    guest_channel_store32(bytes + GUEST_CHANNEL_FRAME_MAGIC, GUEST_CHANNEL_MAGIC);
    bytes[GUEST_CHANNEL_FRAME_TYPE] = frame->type;
    bytes[GUEST_CHANNEL_FRAME_ZERO] = 0;
    guest_channel_store16(bytes + GUEST_CHANNEL_FRAME_LENGTH, frame->length);
    guest_channel_store32(bytes + GUEST_CHANNEL_FRAME_ID, frame->id);
    guest_channel_store32(bytes + GUEST_CHANNEL_FRAME_CRC, frame_crc(bytes, frame->payload, frame->length));
    copy(bytes + GUEST_CHANNEL_HEADER_SIZE, frame->payload, frame->length);
    return GUEST_CHANNEL_HEADER_SIZE + (size_t)frame->length;
}

/* Whether the first bytes can be those of a frame. */
static bool begins_frame(const uint8_t *bytes, size_t count) {
    static const uint8_t magic[4] = {0x43, 0x55, 0x53, 0x54};
    for (size_t index = 0; index < count && index < sizeof magic; index++)
        if (bytes[index] != magic[index]) return false;
    if (count > GUEST_CHANNEL_FRAME_ZERO && bytes[GUEST_CHANNEL_FRAME_ZERO] != 0) return false;
    return count < GUEST_CHANNEL_FRAME_ID ||
           guest_channel_load16(bytes + GUEST_CHANNEL_FRAME_LENGTH) <= GUEST_CHANNEL_MAXIMUM_PAYLOAD;
}

static void drop(struct guest_channel_decoder *decoder, size_t count) {
    decoder->count -= count;
    copy(decoder->bytes, decoder->bytes + count, decoder->count);
}

/* Looks for a frame at the start of what is there; skips what cannot be one. */
static bool take_frame(struct guest_channel_decoder *decoder, struct guest_channel_frame *frame) {
    size_t start = 0;
    for (; start < decoder->count; start++) {
        const uint8_t *bytes = decoder->bytes + start;
        size_t count = decoder->count - start;
        if (!begins_frame(bytes, count)) continue;
        if (count < GUEST_CHANNEL_HEADER_SIZE) break;
        uint16_t length = guest_channel_load16(bytes + GUEST_CHANNEL_FRAME_LENGTH);
        const uint8_t *payload = bytes + GUEST_CHANNEL_HEADER_SIZE;
        if (count < GUEST_CHANNEL_HEADER_SIZE + (size_t)length) break;
        if (guest_channel_load32(bytes + GUEST_CHANNEL_FRAME_CRC) != frame_crc(bytes, payload, length)) continue;
        frame->type = bytes[GUEST_CHANNEL_FRAME_TYPE];
        frame->length = length;
        frame->id = guest_channel_load32(bytes + GUEST_CHANNEL_FRAME_ID);
        copy(frame->payload, payload, length);
        drop(decoder, start + GUEST_CHANNEL_HEADER_SIZE + length);
        return true;
    }
    drop(decoder, start);
    return false;
}

bool guest_channel_decode(struct guest_channel_decoder *decoder, const uint8_t *bytes, size_t count, size_t *taken,
                          struct guest_channel_frame *frame) {
    *taken = 0;
    for (;;) {
        if (take_frame(decoder, frame)) return true;
        size_t room = sizeof decoder->bytes - decoder->count;
        if (room > count - *taken) room = count - *taken;
        if (room == 0) return false;
        copy(decoder->bytes + decoder->count, bytes + *taken, room);
        decoder->count += room;
        *taken += room;
    }
}
