// Pictures from files as BGR bytes: through OpenCV where it is, else stb_image.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Picture {
    int height, width;
    std::vector<std::uint8_t> bgr;
};

// Throws std::runtime_error where there is no picture.
Picture read_picture(const std::string& file);
