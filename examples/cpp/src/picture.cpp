#include "picture.hpp"

#include <stdexcept>

#if defined(RTMPOSE_OPENCV)
#include <opencv2/imgcodecs.hpp>

Picture read_picture(const std::string& file) {
    const cv::Mat picture = cv::imread(file, cv::IMREAD_COLOR);
    if (picture.empty()) throw std::runtime_error(file + ": not a picture that can be read");
    return {picture.rows, picture.cols, {picture.data, picture.data + picture.total() * 3}};
}
#else
#include <cstring>
#include <fstream>
#include <memory>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_FAILURE_USERMSG
#include <stb/stb_image.h>

namespace {

using Bytes = std::vector<unsigned char>;

// A whole number of so many bytes, of which the first is the lowest (Intel) or the highest (Motorola).
std::size_t number(const unsigned char* at, std::size_t count, bool lowest_first) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = value << 8 | at[lowest_first ? count - 1 - i : i];
    return value;
}

// The orientation that EXIF's block of TIFF tags gives; 1 (upright) where it gives none.
std::size_t orientation_of_tags(const unsigned char* tags, std::size_t size) {
    const bool lowest_first = tags[0] == 'I';
    const std::size_t first = number(tags + 4, 4, lowest_first);
    if (first < 8 || first > size - 2) return 1;
    const std::size_t count = number(tags + first, 2, lowest_first);
    for (std::size_t i = 0, at = first + 2; i < count && at + 12 <= size; ++i, at += 12) {
        if (number(tags + at, 2, lowest_first) != 0x112) continue;
        const std::size_t value = number(tags + at + 8, 2, lowest_first);
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

// How a JPEG lies, as EXIF counts it: 1 to 8. Other files lie upright.
std::size_t orientation(const std::string& file) {
    Bytes head(std::size_t{1} << 18);  // the tags stand at the beginning, in a segment of at most 64 kB
    std::ifstream stream(file, std::ios::binary);
    stream.read(reinterpret_cast<char*>(head.data()), static_cast<std::streamsize>(head.size()));
    head.resize(static_cast<std::size_t>(stream.gcount()));
    if (head.size() < 2 || head[0] != 0xFF || head[1] != 0xD8) return 1;
    for (std::size_t at = 2; at + 4 <= head.size() && head[at] == 0xFF && head[at + 1] != 0xDA;) {
        const std::size_t length = number(&head[at + 2], 2, false);
        const bool exif = head[at + 1] == 0xE1 && length >= 18 && at + 2 + length <= head.size() &&
                          std::memcmp(&head[at + 4], "Exif\0\0", 6) == 0;
        if (exif) return orientation_of_tags(&head[at + 10], length - 8);
        at += 2 + length;
    }
    return 1;
}

}  // namespace

Picture read_picture(const std::string& file) {
    int columns = 0, rows = 0, channels = 0;
    const std::unique_ptr<unsigned char, void (*)(void*)> rgb(stbi_load(file.c_str(), &columns, &rows, &channels, 3),
                                                              stbi_image_free);
    if (rgb == nullptr)
        throw std::runtime_error(file + ": not a picture that can be read (" + stbi_failure_reason() +
                                 "); expected a whole JPEG, PNG or BMP");
    const std::size_t how = orientation(file);
    const bool turned = how >= 5, from_right = how == 2 || how == 3 || how == 7 || how == 8;
    const bool from_below = how == 3 || how == 4 || how == 6 || how == 7;
    const std::size_t width = static_cast<std::size_t>(columns), height = static_cast<std::size_t>(rows);
    Picture picture{turned ? columns : rows, turned ? rows : columns, Bytes(width * height * 3)};
    std::uint8_t* to = picture.bgr.data();
    for (std::size_t row = 0; row < (turned ? width : height); ++row) {
        for (std::size_t column = 0; column < (turned ? height : width); ++column, to += 3) {
            const std::size_t x = turned ? row : column, y = turned ? column : row;
            const std::size_t line = from_below ? height - 1 - y : y;
            const unsigned char* px = rgb.get() + 3 * (line * width + (from_right ? width - 1 - x : x));
            to[0] = px[2], to[1] = px[1], to[2] = px[0];
        }
    }
    return picture;
}
#endif
