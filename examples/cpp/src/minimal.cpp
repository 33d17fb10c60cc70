// The shortest program: who is in this picture, and where is the left wrist?
#include <rtmpose.hpp>

#include <cstdio>

#include "picture.hpp"

int main(int count, char** arguments) try {
    if (count != 3) return std::puts("usage: minimal pipeline.onnx picture.jpg"), 2;
    rtmpose::Model model(arguments[1]);
    const Picture picture = read_picture(arguments[2]);
    for (const rtmpose::Person& person : model(picture.bgr.data(), picture.height, picture.width)) {
        const rtmpose::Keypoint& wrist = person.keypoints.at(9);
        std::printf("person %.2f: left wrist at %.0f, %.0f\n", person.score, wrist.x, wrist.y);
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
}
