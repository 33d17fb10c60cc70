// Pictures from files as BGR bytes, turned upright by their EXIF orientation: through stb_image.h, else OpenCV.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Picture {
    int height, width;
    std::vector<std::uint8_t> bgr;
};

// Throws std::exception where there is no picture.
Picture read_picture(const std::string& file);
