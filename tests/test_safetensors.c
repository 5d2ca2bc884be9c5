/* test_safetensors.c — files written and read back, and files broken in every way the reader must notice:
 * each row of the table breaks one thing and says which words the message must have. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/io.h"

static char path[64];

static void make_path(void)
{
    strcpy(path, "/tmp/t2d_st_XXXXXX");
    const int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
}

static void remove_path(void) { unlink(path); }

TestSuite(safetensors, .init = make_path, .fini = remove_path);

static void put(const void *bytes, size_t count)
{
    FILE *stream = fopen(path, "wb");
    cr_assert(stream && fwrite(bytes, 1, count, stream) == count);
    fclose(stream);
}

/* A file of a header and `data` zero bytes. */
static void put_file(const char *header, size_t data)
{
    const uint64_t length = strlen(header);
    char *bytes = calloc(1, 8 + length + data);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    put(bytes, 8 + length + data);
    free(bytes);
}

static void expect_refused(const char *what, t2d_status want, const char *words)
{
    t2d_error err = {0};
    t2d_st_file *file;
    const t2d_status status = t2d_st_open(path, &file, &err);
    cr_expect_eq(status, want, "%s: status %d, want %d (%s)", what, status, want, err.message);
    cr_expect(strstr(err.message, words), "%s: '%s' is not in '%s'", what, words, err.message);
    cr_expect(strstr(err.message, path), "%s: the file is not named in '%s'", what, err.message);
    cr_expect_null(file, "%s", what);
    t2d_st_close(file);
}

#define A(dtype, shape, offsets)                                                                             \
    "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(first, second)                                                                                   \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first                                         \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "}}"
#define META(value) "{\"__metadata__\":" value "}"
#define NAMED(name) "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}"

static const struct {
    const char *what, *header;
    size_t data;
    t2d_status status;
    const char *words;
} broken[] = {
    {"no header", "", 0, T2D_E_FORMAT, "does not start with '{'"},
    {"space before the brace", " {}", 0, T2D_E_FORMAT, "does not start with '{'"},
    {"a list", "[]", 0, T2D_E_FORMAT, "does not start with '{'"},
    {"cut JSON", "{\"a\":", 0, T2D_E_FORMAT, "not sound JSON"},
    {"text after the brace", "{} x", 0, T2D_E_FORMAT, "not sound JSON"},
    {"invalid UTF-8", NAMED("\xff"), 4, T2D_E_FORMAT, "unable to decode byte 0xff"},
    {"NUL in a name", NAMED("a\\u0000b"), 4, T2D_E_FORMAT, "not sound JSON"},
    {"NUL in metadata", META("{\"k\":\"a\\u0000b\"}"), 0, T2D_E_FORMAT, "not sound JSON"},
    {"deep nesting", "{\"a\":{\"shape\":[[0]]}}", 0, T2D_E_FORMAT, "nested deeper"},
    {"a name twice", "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"a\":{}}", 0,
     T2D_E_FORMAT, "duplicate"},
    {"a key twice", "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
     T2D_E_FORMAT, "duplicate"},
    {"empty name", NAMED(""), 4, T2D_E_FORMAT, "name '' is empty"},
    {"newline in a name", NAMED("a\\nb"), 4, T2D_E_FORMAT, "control characters"},
    {"escape in a name", NAMED("a\\u001b[2J"), 4, T2D_E_FORMAT, "control characters"},
    {"entry that is no object", "{\"a\":3}", 0, T2D_E_FORMAT, "must have dtype, shape and data_offsets"},
    {"no dtype", "{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, T2D_E_FORMAT, "must have dtype"},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4, T2D_E_FORMAT, "must have dtype"},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, T2D_E_FORMAT, "must have dtype"},
    {"an unknown key", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"x\":1}}", 4,
     T2D_E_FORMAT, "nothing else"},
    {"dtype that is a number", A("3", "[4]", "[0,4]"), 4, T2D_E_FORMAT, "'a': dtype must be a string"},
    {"unknown dtype", A("\"F64\"", "[1]", "[0,8]"), 8, T2D_E_UNSUPPORTED, "'a' has dtype F64"},
    {"dtype in lower case", A("\"f32\"", "[1]", "[0,4]"), 4, T2D_E_UNSUPPORTED, "'a' has dtype f32"},
    {"rank 9", A("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, T2D_E_UNSUPPORTED, "'a' has 9 dimensions"},
    {"shape that is no list", A("\"U8\"", "4", "[0,4]"), 4, T2D_E_FORMAT, "'a': shape must be a list"},
    {"real dimension", A("\"U8\"", "[4.0]", "[0,4]"), 4, T2D_E_FORMAT, "'a': shape must be a list of whole"},
    {"exponent dimension", A("\"U8\"", "[4e0]", "[0,4]"), 4, T2D_E_FORMAT,
     "'a': shape must be a list of whole"},
    {"true dimension", A("\"U8\"", "[true]", "[0,1]"), 1, T2D_E_FORMAT, "'a': shape must be a list of whole"},
    {"negative dimension", A("\"U8\"", "[-4]", "[0,4]"), 4, T2D_E_FORMAT, "none negative"},
    {"dimension beyond 64 bits", A("\"U8\"", "[18446744073709551620]", "[0,4]"), 4, T2D_E_FORMAT,
     "not sound JSON"},
    {"product beyond 64 bits", A("\"U8\"", "[4294967296,4294967296,4]", "[0,4]"), 4, T2D_E_FORMAT,
     "too large"},
    {"bytes beyond 64 bits", A("\"I64\"", "[2305843009213693952]", "[0,0]"), 0, T2D_E_FORMAT, "too large"},
    {"offsets that are no list", A("\"U8\"", "[4]", "4"), 4, T2D_E_FORMAT, "'a': data_offsets must be"},
    {"one offset", A("\"U8\"", "[4]", "[4]"), 4, T2D_E_FORMAT, "'a': data_offsets must be"},
    {"three offsets", A("\"U8\"", "[4]", "[0,4,4]"), 4, T2D_E_FORMAT, "'a': data_offsets must be"},
    {"real offsets", A("\"U8\"", "[4]", "[0.0,4.0]"), 4, T2D_E_FORMAT, "'a': data_offsets must be"},
    {"negative offset", A("\"U8\"", "[4]", "[-4,0]"), 4, T2D_E_FORMAT, "'a': data_offsets must be"},
    {"offsets reversed", A("\"U8\"", "[4]", "[4,0]"), 4, T2D_E_FORMAT, "'a': data_offsets must be"},
    {"fewer bytes than the shape", A("\"F32\"", "[2]", "[0,4]"), 4, T2D_E_FORMAT,
     "span 4 bytes, its shape needs 8"},
    {"more bytes than the shape", A("\"F16\"", "[2]", "[0,8]"), 8, T2D_E_FORMAT,
     "span 8 bytes, its shape needs 4"},
    {"overlap", TWO("[0,4]", "[2,6]"), 6, T2D_E_FORMAT, "'a' and 'b' overlap"},
    {"the same place", TWO("[0,4]", "[0,4]"), 4, T2D_E_FORMAT, "'a' and 'b' overlap"},
    {"an empty tensor inside another",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}}",
     4, T2D_E_FORMAT, "'a' and 'b' overlap"},
    {"hole", TWO("[0,4]", "[6,10]"), 10, T2D_E_FORMAT, "2 bytes before tensor 'b'"},
    {"hole at the start", A("\"U8\"", "[4]", "[3,7]"), 7, T2D_E_FORMAT, "3 bytes before tensor 'a'"},
    {"offsets near the top", A("\"U8\"", "[7]", "[9223372036854775800,9223372036854775807]"), 7, T2D_E_FORMAT,
     "before tensor 'a'"},
    {"cut data", NAMED("aa"), 3, T2D_E_FORMAT, "is cut short: 65 bytes, its header describes 66"},
    {"no data", NAMED("aa"), 0, T2D_E_FORMAT, "is cut short: 62 bytes, its header describes 66"},
    {"a byte too many", NAMED("aa"), 5, T2D_E_FORMAT, "is too long: 67 bytes, its header describes 66"},
    {"metadata that is a list", META("[]"), 0, T2D_E_FORMAT, "__metadata__ must be an object of strings"},
    {"metadata that is a string", META("\"x\""), 0, T2D_E_FORMAT,
     "__metadata__ must be an object of strings"},
    {"a number in metadata", META("{\"k\":1}"), 0, T2D_E_FORMAT, "__metadata__ 'k' must be a string"},
    {"null in metadata", META("{\"k\":null}"), 0, T2D_E_FORMAT, "__metadata__ 'k' must be a string"},
    {"a metadata key twice", META("{\"k\":\"1\",\"k\":\"2\"}"), 0, T2D_E_FORMAT, "duplicate"},
};

Test(safetensors, refuses_broken_headers)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put_file(broken[i].header, broken[i].data);
        expect_refused(broken[i].what, broken[i].status, broken[i].words);
    }
}

Test(safetensors, refuses_files_that_are_something_else)
{
    const uint64_t lengths[] = {100000001, UINT64_MAX, 3};
    const char *words[] = {"a header of 100000001 bytes, at most 100000000", "at most 100000000",
                           "is cut short: 10 bytes, its header alone needs 11"};
    for (int i = 0; i < 3; i++) {
        char bytes[10] = "        {}";
        memcpy(bytes, &lengths[i], 8);
        put(bytes, 10);
        expect_refused(words[i], T2D_E_FORMAT, words[i]);
    }
    put("", 0);
    expect_refused("empty file", T2D_E_FORMAT, "only 0 bytes");
    put("version https://git-lfs.github.com/spec/v1\n", 43);
    expect_refused("another kind of file", T2D_E_FORMAT, "not a safetensors file");
    unlink(path);
    expect_refused("no file", T2D_E_IO, "cannot open");
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_refused("a pipe", T2D_E_IO, "is a device or a pipe");
    unlink(path);
    strcpy(path, "/tmp");
    expect_refused("a folder", T2D_E_IO, "is a folder");
}

Test(safetensors, accepts_what_is_unusual_but_sound)
{
    const struct {
        const char *header;
        size_t data;
        int count;
    } sound[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {META("{}"), 0, 0},
        {META("{\"\":\"line\\nline\"}"), 0, 0},
        {A("\"F32\"", "[]", "[0,4]"), 4, 1},
        {A("\"F32\"", "[0,5]", "[0,0]"), 0, 1},
        {A("\"U8\"", "[1,1,1,1,1,1,1,1]", "[0,1]"), 1, 1},
        {TWO("[4,8]", "[0,4]"), 8, 2},
        {NAMED("a\\\"]]]]b"), 4, 1},
        {NAMED("\xc3\xa9"), 4, 1},
    };
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        t2d_error err = {0};
        t2d_st_file *file;
        put_file(sound[i].header, sound[i].data);
        cr_expect_eq(t2d_st_open(path, &file, &err), T2D_OK, "%s: %s", sound[i].header, err.message);
        if (!file) continue;
        cr_expect_eq(t2d_st_count(file), sound[i].count);
        t2d_st_close(file);
    }
}

/* ---- writing and reading back ---- */

static t2d_st_file *open_good(void)
{
    t2d_error err = {0};
    t2d_st_file *file;
    cr_assert_eq(t2d_st_open(path, &file, &err), T2D_OK, "%s", err.message);
    return file;
}

static void write_good(const t2d_st_item *items, int count, const char *const (*meta)[2], int meta_count)
{
    t2d_error err = {0};
    cr_assert_eq(t2d_st_write(path, items, count, meta, meta_count, &err), T2D_OK, "%s", err.message);
}

Test(safetensors, every_type_comes_back)
{
    static const char *const meta[][2] = {{"format", "test"}, {"zeile", "eins\nzwei \"\xc3\xa9\""}, {"", ""}};
    uint8_t data[6][48];
    for (int i = 0; i < 6 * 48; i++) data[i / 48][i % 48] = (uint8_t)(i * 37 + 11);
    t2d_st_item items[7];
    const char *names[] = {"z", "y", "x", "w", "v", "u", "empty"};
    for (int i = 0; i < 7; i++)
        items[i] =
            (t2d_st_item){names[i], i < 6 ? (t2d_st_type)i : T2D_ST_F32, 2, {i < 6 ? 2 : 0, 3}, data[i % 6]};
    items[6].data = NULL; /* nothing to point at is fine where there is nothing */
    write_good(items, 7, meta, 3);
    t2d_st_file *file = open_good();
    cr_assert_eq(t2d_st_count(file), 7);
    cr_expect_eq(t2d_st_at(file, 0)->offset % 8, 0);
    for (int i = 0; i < 7; i++) {
        uint8_t back[48];
        const t2d_st_tensor *t = t2d_st_find(file, names[i]);
        cr_assert(t == t2d_st_at(file, i), "tensors lie in the order they were given");
        cr_expect(t->type == items[i].type && t->rank == 2 && t->shape[0] == (i < 6 ? 2 : 0) &&
                  t->shape[1] == 3);
        cr_expect_eq(t->bytes, (i < 6 ? 6 : 0) * t2d_st_type_size(t->type));
        cr_assert_eq(t2d_st_read(file, t, back, NULL), T2D_OK);
        cr_expect(i == 6 || memcmp(back, data[i], t->bytes) == 0, "%s", t2d_st_type_name(t->type));
    }
    cr_expect_null(t2d_st_find(file, "nobody"));
    cr_expect_eq(t2d_st_meta_count(file), 3);
    for (int i = 0; i < 3; i++) {
        const char *key, *value;
        t2d_st_meta_at(file, i, &key, &value);
        cr_expect_str_eq(key, meta[i][0]);
        cr_expect_str_eq(value, meta[i][1]);
        cr_expect_str_eq(t2d_st_meta(file, key), value);
    }
    cr_expect_null(t2d_st_meta(file, "nobody"));
    t2d_st_close(file);
}

Test(safetensors, writer_refuses)
{
    const float one = 1;
    const t2d_st_item good = {"a", T2D_ST_F32, 1, {1}, &one};
    const char *const twice[][2] = {{"k", "1"}, {"k", "2"}}, *const bytes[][2] = {{"k", "\xff"}};
    t2d_st_item rows[9];
    for (int i = 0; i < 9; i++) rows[i] = good;
    rows[0].name = "";
    rows[1].name = "a\nb";
    rows[2].name = "__metadata__";
    rows[3].name = "\xff";
    rows[4].data = NULL;
    rows[5].rank = 9;
    rows[6].shape[0] = -1;
    rows[7].shape[0] = INT64_MAX / 2;
    rows[8].type = (t2d_st_type)17;
    unlink(path);
    for (int i = 0; i < 9; i++) {
        t2d_error err = {0};
        cr_expect_eq(t2d_st_write(path, &rows[i], 1, NULL, 0, &err), T2D_E_ARGUMENT, "row %d: %s", i,
                     err.message);
        cr_expect_neq(access(path, F_OK), 0, "row %d left a file", i);
    }
    t2d_error err = {0};
    const t2d_st_item same[] = {good, good};
    cr_expect_eq(t2d_st_write(path, same, 2, NULL, 0, &err), T2D_E_ARGUMENT);
    cr_expect(strstr(err.message, "'a' is given twice"), "%s", err.message);
    cr_expect_eq(t2d_st_write(path, &good, 1, twice, 2, &err), T2D_E_ARGUMENT);
    cr_expect(strstr(err.message, "'k' is given twice"), "%s", err.message);
    cr_expect_eq(t2d_st_write(path, &good, 1, bytes, 1, &err), T2D_E_ARGUMENT);
    cr_expect_eq(t2d_st_write("/dev/full", &good, 1, NULL, 0, &err), T2D_E_IO);
    cr_expect_eq(t2d_st_write("/nowhere/at/all", &good, 1, NULL, 0, &err), T2D_E_IO);
}

static const void *next_of(void *context, int index, t2d_error *err)
{
    float *values = context; /* one place for all of them */
    if (index == 2) return t2d_fail(err, T2D_E_MEMORY, "no third"), NULL;
    for (int i = 0; i < 3; i++) values[i] = (float)(10 * index + i);
    return values;
}

/* Tensors made one after the other are the file that holds them all. */
Test(safetensors, stream_is_the_same_file)
{
    t2d_error err = {0};
    float room[3], both[2][3] = {{0, 1, 2}, {10, 11, 12}};
    char *text = NULL;
    size_t bytes = 0, count;
    unsigned char *whole;
    t2d_st_item items[3] = {{"a", T2D_ST_F32, 1, {3}, both[0]}, {"b", T2D_ST_F32, 1, {3}, both[1]}};
    const char *const meta[][2] = {{"k", "v"}};
    write_good(items, 2, meta, 1);
    cr_assert_eq(t2d_read_file(path, 1 << 20, &whole, &count, &err), T2D_OK);
    items[0].data = items[1].data = NULL;
    items[2] = (t2d_st_item){"c", T2D_ST_F32, 1, {3}, NULL};
    FILE *stream = open_memstream(&text, &bytes);
    cr_assert_eq(t2d_st_write_stream(stream, "memory", items, 2, meta, 1, next_of, room, &err), T2D_OK);
    fclose(stream);
    cr_assert_eq(bytes, count);
    cr_assert_eq(memcmp(text, whole, bytes), 0);
    free(text);
    free(whole);
    stream = open_memstream(&text, &bytes);
    cr_expect_eq(t2d_st_write_stream(stream, "memory", items, 3, meta, 1, next_of, room, &err), T2D_E_MEMORY);
    cr_expect(strstr(err.message, "no third"), "%s", err.message);
    cr_expect_eq(t2d_st_write_stream(stream, "memory", items, 2, meta, 1, NULL, NULL, &err), T2D_E_ARGUMENT);
    cr_expect(strstr(err.message, "memory: tensor 'a' has no data"), "%s", err.message);
    fclose(stream);
    free(text);
    stream = fopen("/dev/full", "w");
    setvbuf(stream, NULL, _IONBF, 0);
    cr_expect_eq(t2d_st_write_stream(stream, "full", items, 2, meta, 1, next_of, room, &err), T2D_E_IO);
    fclose(stream);
}

/* ---- values ---- */

/* The definition: sign, exponent, fraction. */
static double half_value(int bits, int exponent_bits)
{
    const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1),
              fraction = bits & ((1 << fraction_bits) - 1);
    const double size = exponent == 0
                            ? ldexp(fraction, 1 - bias - fraction_bits)
                            : ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
    return bits & 0x8000 ? -size : size;
}

/* Every pattern twice over, so that more than one chunk is read; those that are no numbers one at a time. */
static void check_all_patterns(t2d_st_type type, int exponent_bits)
{
    const int special = ((1 << exponent_bits) - 1) << (15 - exponent_bits);
    static uint16_t bits[2 * 65536];
    static float values[2 * 65536];
    t2d_error err = {0};
    int count = 0;
    for (int i = 0; i < 2 * 65536; i++)
        if ((i & special) != special) bits[count++] = (uint16_t)i;
    write_good(&(t2d_st_item){"all", type, 1, {count}, bits}, 1, NULL, 0);
    t2d_st_file *file = open_good();
    cr_assert_eq(t2d_st_read_f32(file, t2d_st_at(file, 0), NULL, values, &err), T2D_OK, "%s", err.message);
    t2d_st_close(file);
    for (int i = 0; i < count; i++) {
        const double want = half_value(bits[i], exponent_bits);
        cr_assert((double)values[i] == want && !signbit(values[i]) == !signbit(want), "%04x: %a, want %a",
                  bits[i], (double)values[i], want);
    }
    for (int i = 0; i < 65536; i += 7) {
        if ((i & special) != special) continue;
        bits[3] = (uint16_t)i;
        write_good(&(t2d_st_item){"some", type, 1, {5}, bits}, 1, NULL, 0);
        file = open_good();
        cr_expect_eq(t2d_st_read_f32(file, t2d_st_at(file, 0), NULL, values, &err), T2D_E_FORMAT, "%04x", i);
        cr_expect(strstr(err.message, "tensor 'some' has NaN or Inf at index 3"), "%s", err.message);
        t2d_st_close(file);
    }
}

Test(safetensors, f16_is_widened_exactly) { check_all_patterns(T2D_ST_F16, 5); }
Test(safetensors, bf16_is_widened_exactly) { check_all_patterns(T2D_ST_BF16, 8); }

Test(safetensors, f32_values_and_their_checksum)
{
    enum { COUNT = 40000 }; /* more than one chunk */
    static float values[COUNT], back[COUNT];
    char sum[17], wrong[17];
    t2d_error err = {0};
    for (int i = 0; i < COUNT; i++) values[i] = (float)i * 0.25f - 3000;
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)XXH3_64bits(values, sizeof values));
    strcpy(wrong, sum);
    wrong[15] = sum[15] == '0' ? '1' : '0';
    const struct {
        int index;
        float value;
        const char *words;
    } bad[] = {{0, NAN, "index 0"}, {16384, INFINITY, "index 16384"}, {COUNT - 1, -INFINITY, "index 39999"}};
    write_good(&(t2d_st_item){"v", T2D_ST_F32, 1, {COUNT}, values}, 1, NULL, 0);
    t2d_st_file *file = open_good();
    const t2d_st_tensor *t = t2d_st_at(file, 0);
    cr_expect_eq(t2d_st_read_f32(file, t, sum, back, &err), T2D_OK, "%s", err.message);
    cr_expect_eq(memcmp(values, back, sizeof values), 0);
    cr_expect_eq(t2d_st_read_f32(file, t, wrong, back, &err), T2D_E_FORMAT);
    cr_expect(strstr(err.message, "'v' is damaged") && strstr(err.message, sum) && strstr(err.message, wrong),
              "%s", err.message);
    cr_expect_eq(t2d_st_read_f32(file, t, "", back, &err), T2D_E_FORMAT, "no checksum is not an empty one");
    cr_assert_eq(truncate(path, (off_t)(t->offset + 100000)), 0);
    cr_expect_eq(t2d_st_read_f32(file, t, NULL, back, &err), T2D_E_FORMAT);
    cr_expect(strstr(err.message, "the file ends at byte"), "%s", err.message);
    t2d_st_close(file);
    for (int i = 0; i < 3; i++) {
        const float kept = values[bad[i].index];
        values[bad[i].index] = bad[i].value;
        write_good(&(t2d_st_item){"v", T2D_ST_F32, 1, {COUNT}, values}, 1, NULL, 0);
        values[bad[i].index] = kept;
        file = open_good();
        cr_expect_eq(t2d_st_read_f32(file, t2d_st_at(file, 0), NULL, back, &err), T2D_E_FORMAT);
        cr_expect(strstr(err.message, bad[i].words), "%s", err.message);
        cr_expect_eq(t2d_st_read_f32(file, t2d_st_at(file, 0), sum, back, &err), T2D_E_FORMAT);
        cr_expect(strstr(err.message, "is damaged"), "damage explains NaN: %s", err.message);
        t2d_st_close(file);
    }
}

Test(safetensors, whole_numbers_are_not_weights)
{
    const int32_t ids[] = {1, 2};
    float out[2];
    t2d_error err = {0};
    write_good(&(t2d_st_item){"ids", T2D_ST_I32, 1, {2}, ids}, 1, NULL, 0);
    t2d_st_file *file = open_good();
    cr_expect_eq(t2d_st_read_f32(file, t2d_st_at(file, 0), NULL, out, &err), T2D_E_FORMAT);
    cr_expect(strstr(err.message, "'ids' is I32; F32, F16 or BF16"), "%s", err.message);
    t2d_st_close(file);
}
