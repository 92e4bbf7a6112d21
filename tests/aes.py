"""AES-128 in CBC, for tests that need something encrypted: FIPS 197, slow and plain."""


def _times2(value: int) -> int:
    return (value << 1 ^ 0x11B) & 0xFF if value & 0x80 else value << 1


def _box() -> list[int]:
    box, one, inverse = [0x63] * 256, 1, 1
    for _ in range(255):
        one ^= _times2(one)  # three times itself: every value but 0, once
        for shift in (1, 2, 4):
            inverse ^= inverse << shift & 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        turned = inverse
        for turn in (1, 2, 3, 4):
            turned ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box[one] = turned ^ 0x63
    return box


_BOX = _box()


def _round_keys(key: bytes) -> list[bytes]:
    words, constant = [key[at : at + 4] for at in range(0, 16, 4)], 1
    for number in range(4, 44):
        word = words[-1]
        if number % 4 == 0:
            word = bytes(_BOX[value] for value in word[1:] + word[:1])
            word, constant = bytes([word[0] ^ constant]) + word[1:], _times2(constant)
        words.append(bytes(a ^ b for a, b in zip(word, words[-4], strict=True)))
    return [b"".join(words[at : at + 4]) for at in range(0, 44, 4)]


def _encrypted_block(block: bytes, keys: list[bytes]) -> bytes:
    state = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for number, key in enumerate(keys[1:], 1):
        state = [_BOX[state[(at + 4 * (at % 4)) % 16]] for at in range(16)]
        if number < 10:
            mixed = []
            for column in (state[at : at + 4] for at in range(0, 16, 4)):
                every = column[0] ^ column[1] ^ column[2] ^ column[3]
                mixed += [column[at] ^ every ^ _times2(column[at] ^ column[(at + 1) % 4]) for at in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, key, strict=True)]
    return bytes(state)


def encrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    """The data, filled up as PKCS#7 has it, in cipher blocks that are chained."""
    keys, before, out = _round_keys(key), iv, bytearray()
    padding = 16 - len(data) % 16
    data += bytes([padding]) * padding
    for at in range(0, len(data), 16):
        before = _encrypted_block(bytes(a ^ b for a, b in zip(data[at : at + 16], before, strict=True)), keys)
        out += before
    return bytes(out)
